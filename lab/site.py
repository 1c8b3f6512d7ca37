"""One lab on disk: its settings, folders, processes; what every other module works on.

The folder is ``<state root>/<lab name>``::

    lab.json      settings and phase          pki/         keys and certificates
    processes/    one record per process      kubeconfig/  one file per identity
    logs/         one file per process        <anything a component needs>/
"""

from __future__ import annotations

import json
import os
import shutil
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab import cgroup, netns, paths, progress, topology
from lab.errors import LabError
from lab.process import Process, ProcessSpec, ProcessTable, read_stat
from lab.topology import Plan

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(slots=True)
class Settings:
    """What a lab was started with; ``options`` belongs to the profile."""

    name: str
    profile: str
    nodes: int
    phase: str = "starting"
    owner_pid: int = 0
    owner_start_ticks: int = 0
    options: dict[str, Any] = field(default_factory=dict)


class Site:
    """The place of one lab: names, folders, processes."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.plan = Plan(settings.name, settings.nodes)
        self.dir = paths.lab_dir(settings.name)
        self.processes = ProcessTable(self.dir)

    @property
    def name(self) -> str:
        """The lab's name."""
        return self.settings.name

    @classmethod
    def create(cls, settings: Settings, *, owned: bool) -> Site:
        """Begin a lab; leftovers of a dead one with the same name are cleared away first.

        An owned lab belongs to the calling process: once that has died, the lab counts as dead.
        """
        site = cls(settings)
        sweep()
        existing = cls.find(settings.name)
        if existing is not None and not existing.is_dead():
            raise LabError(
                f"lab {settings.name} is up already; end it with `python -m lab --name "
                f"{settings.name} down` or choose another name"
            )
        clear(settings.name)
        site.dir.mkdir(parents=True, mode=0o755)
        me = read_stat(os.getpid())
        if me is not None:
            settings.owner_pid, settings.owner_start_ticks = me.pid, me.start_ticks
        settings.options.setdefault("owned", owned)
        site.save()
        return site

    @classmethod
    @contextmanager
    def begin(cls, settings: Settings, *, owned: bool) -> Iterator[Site]:
        """Begin a lab, which is up at the end of the block; of one that fails nothing stays."""
        site = cls.create(settings, owned=owned)
        what = f"{settings.profile} lab {settings.name}"
        try:
            with progress.step(f"{what} with {settings.nodes} nodes"):
                yield site
            site.mark_up()
        except BaseException:
            progress.say(f"{what}: clearing away after a failed start")
            clear(settings.name)
            raise

    @classmethod
    def find(cls, name: str) -> Site | None:
        """Open a lab that exists on disk; None when there is none."""
        try:
            fields = json.loads((paths.lab_dir(name) / "lab.json").read_text())
        except FileNotFoundError:
            return None
        return cls(Settings(**fields))

    def save(self) -> None:
        """Write the settings down."""
        file = self.dir / "lab.json"
        fresh = file.with_suffix(".new")
        fresh.write_text(json.dumps(asdict(self.settings), indent=1))
        fresh.replace(file)

    def mark_up(self) -> None:
        """Record that the lab has started; one that nobody owns lives on by itself from now."""
        self.settings.phase = "up"
        if not self.settings.options.get("owned"):
            self.settings.owner_pid = 0
        self.save()

    def is_orphan(self) -> bool:
        """Tell whether the lab belongs to a process that has died."""
        if not self.settings.owner_pid:
            return False
        owner = read_stat(self.settings.owner_pid)
        return owner is None or owner.start_ticks != self.settings.owner_start_ticks

    def is_dead(self) -> bool:
        """Tell whether the lab's owner has died, or its API server has."""
        if self.is_orphan():
            return True
        if self.settings.phase != "up":
            return self.settings.owner_pid == 0
        server = self.processes.get("kube-apiserver")
        return server is None or not server.is_alive()

    def folder(self, *parts: str) -> Path:
        """Return a folder below the lab's own, made if it is missing."""
        made = self.dir.joinpath(*parts)
        made.mkdir(parents=True, exist_ok=True)
        return made

    def kubeconfig(self, identity: str = "admin") -> Path:
        """Return the kubeconfig file of an identity."""
        return self.folder("kubeconfig") / f"{identity}.yaml"

    def namespace(self, host: str) -> str:
        """Return the network namespace of a host, which must exist."""
        name = self.plan.namespace(host)
        if not netns.exists(name):
            known = ", ".join(sorted(topology.host_namespaces(self.plan)))
            raise LabError(f"lab {self.name} has no host {host!r}; it has {known}")
        return name

    def enter_argv(self, host: str) -> list[str]:
        """Return the words that, put before a command line, run it on a host.

        A node of the full profile has a first process of its own, whose namespaces are all entered;
        any other host is a network namespace only.
        """
        first = self.dir / "nodes" / host / "init.pid"
        if first.exists():
            spaces = ("--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup")
            pid = first.read_text().strip()
            return [netns.tool("nsenter"), "--target", pid, *spaces, "--"]
        return netns.enter_argv(self.namespace(host))

    def start(
        self, name: str, host: str, argv: list[str], *, env: dict[str, str] | None = None
    ) -> Process:
        """Start a long-lived process on a host."""
        return self.processes.start(
            ProcessSpec(
                name=name, argv=tuple(argv), netns=self.namespace(host), host=host, env=env or {}
            )
        )


def all_names() -> list[str]:
    """List the labs that exist on disk or as namespaces."""
    root = paths.state_root()
    found = {entry.name for entry in root.iterdir() if entry.is_dir()} if root.is_dir() else set()
    return sorted(found | {name.split("-")[1] for name in netns.names("mlb-")})


def sweep() -> None:
    """Clear away every lab whose owner has died without doing so."""
    for name in all_names():
        found = Site.find(name)
        if found is not None and found.is_orphan():
            progress.say(f"clearing away lab {name}, which a dead process left behind")
            clear(name)


def clear(name: str) -> None:
    """Remove every trace of a lab: processes, whatever else lives in its namespaces, folders."""
    plan = Plan(name, 0)
    state_dir = paths.lab_dir(name)
    ProcessTable(state_dir).kill_all()
    cgroup.clear(name)
    _end_inhabitants(plan)
    topology.destroy(plan.prefix)
    _unmount_below(state_dir)
    shutil.rmtree(state_dir, ignore_errors=True)


def _end_inhabitants(plan: Plan) -> None:
    """Kill what was started in the lab's namespaces and never recorded."""
    for name in netns.names(plan.prefix):
        for pid in netns.pids(name):
            if pid == os.getpid():
                continue
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                continue


def _unmount_below(folder: Path) -> None:
    points = [
        line.split()[4].encode().decode("unicode_escape")
        for line in Path("/proc/self/mountinfo").read_text().splitlines()
    ]
    for point in sorted((p for p in points if p.startswith(f"{folder}/")), reverse=True):
        netns.command([netns.tool("umount"), "-l", point], check=False)

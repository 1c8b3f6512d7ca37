"""What each command of the lab's command line does.

Each function takes the parsed arguments and returns the exit status.  Results go to standard
output, progress to standard error.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, cast

from lab import binaries, hogs, netns, parts, paths, progress, site, status
from lab.build import apt, helm
from lab.cluster import Lab
from lab.errors import LabError
from lab.failover import SCENARIOS, Stage
from lab.failover.control import control_of
from lab.process import BASE_PATH
from lab.router import RouterOptions

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Sequence

    from lab.light import LightLab
    from lab.observe import report
    from lab.observe.watch import Watch

R = TypeVar("R")


def prepare(given: Namespace) -> int:
    """Install and build what a profile needs."""
    with progress.step(f"preparing the {given.profile} profile"):
        if given.profile == "full":
            from lab import full  # noqa: PLC0415  (only here)

            full.prepare(has_frr=getattr(given, "frr", False))
        else:
            apt.ensure_packages(apt.LIGHT_PACKAGES)
            binaries.kube_dir()
            helm.ensure_helm()
    return 0


def up(given: Namespace) -> int:
    """Bring a lab up that stays until ``down``."""
    prepare(given)
    if given.proxy_mode == "iptables":
        apt.ensure_packages(("iptables",))
    common: dict[str, Any] = {"proxy_mode": given.proxy_mode, "owned": False}
    if given.profile == "full":
        Lab.full(given.name, given.nodes, **common)
    else:
        Lab.light(
            given.name,
            given.nodes,
            controller="" if given.no_programs else given.controller,
            speaker="" if given.no_programs else given.speaker,
            node_lifecycle=given.node_lifecycle,
            limited_rights=not given.admin_rights,
            crds=given.crds,
            **common,
        )
    where = "" if given.name == "lab" else f" --name {given.name}"
    print(f"lab {given.name} is up. Try:")
    for words in ("status", "kubectl get nodes -o wide", "logs kube-apiserver", "down"):
        print(f"  python -m lab{where} {words}")
    return 0


def down(given: Namespace) -> int:
    """End a lab, every lab, or those whose owner died, with everything they made."""
    names = [given.name]
    if given.all or given.dead:
        names = site.all_names()
    for name in names:
        found = site.Site.find(name)
        if given.dead and found is not None and not found.is_dead():
            continue
        with progress.step(f"taking lab {name} down"):
            site.clear(name)
    return 0


def list_labs(_given: Namespace) -> int:
    """List the labs of this machine."""
    for name in site.all_names():
        found = site.Site.find(name)
        if found is None:
            print(f"{name}\tleftovers")
        else:
            phase = "dead" if found.is_dead() else found.settings.phase
            print(f"{name}\t{found.settings.profile}\t{found.settings.nodes} nodes\t{phase}")
    return 0


def show_status(given: Namespace) -> int:
    """Print a lab's state."""
    state = status.collect(Lab.attach(given.name))
    print(json.dumps(state, indent=1) if given.output == "json" else status.render(state))
    return 0


def logs(given: Namespace) -> int:
    """Print a component's log."""
    place = _site(given)
    folder = place.folder("logs")
    file = folder / f"{given.component}.log"
    if not file.exists():
        known = ", ".join(sorted(path.stem for path in folder.glob("*.log")))
        raise LabError(f"no log of {given.component!r}; there are {known}")
    words = ["-n", str(given.tail)] + (["-F"] if given.follow else [])
    return subprocess.run([netns.tool("tail"), *words, str(file)], check=False).returncode


def execute(given: Namespace) -> int:
    """Run a command on a host, in place of this process."""
    place = _site(given)
    words = given.words[1:] if given.words[:1] == ["--"] else given.words
    env = {**os.environ, **_kube_env(place), "LAB_HOST": given.host}
    _become([*place.enter_argv(given.host), *(words or ["bash"])], env)


def kubectl(given: Namespace) -> int:
    """Run kubectl on the control plane, in place of this process."""
    place = _site(given)
    argv = [*netns.enter_argv(place.namespace("cp")), binaries.kube("kubectl"), *given.words]
    _become(argv, {**os.environ, **_kube_env(place)})


def demo(given: Namespace) -> int:
    """Perform the walk-through on a lab of its own."""
    from lab import demo as walkthrough  # noqa: PLC0415  (only here)

    return walkthrough.main(given.parts)


def web(given: Namespace) -> int:
    """Start a web server as a pod of a light lab."""
    placed = _light(given).web(given.pod, given.node, labels=dict([given.label.split("=", 1)]))
    print(f"pod {given.pod} on {given.node}: {placed.ipv4} {placed.ipv6}")
    return 0


def process_verb(given: Namespace) -> int:
    """Kill, stop, freeze, continue, start or restart a process."""
    process = Lab.attach(given.name).process(given.process)
    if getattr(given, "part", None):
        number = {"freeze": signal.SIGSTOP, "continue": signal.SIGCONT}.get(given.verb)
        chosen = number or signal.Signals[given.signal]
        parts.send(parts.of_process(process), given.part, chosen)
        print(f"{process.name}: {given.part} was sent {chosen.name}")
        return 0
    actions: dict[str, Callable[[], None]] = {
        "kill": lambda: process.kill(signal.Signals[given.signal], family=not given.main_only),
        "stop": process.stop,
        "freeze": process.pause,
        "continue": process.cont,
        "start": process.start,
        "restart": process.restart,
    }
    actions[given.verb]()
    print(f"{process.name}: {'running' if process.is_alive() else 'ended'} (pid {process.pid})")
    return 0


def fault(given: Namespace) -> int:
    """Bring a fault about, or end it."""
    faults = Lab.attach(given.name).faults
    actions: dict[str, Callable[[], object]] = {
        "cut": lambda: faults.cut(*given.hosts),
        "link-down": lambda: faults.link_down(*given.hosts),
        "link-up": lambda: faults.link_up(*given.hosts),
        "heal": lambda: faults.heal(*given.hosts),
        "drop": lambda: faults.drop(
            given.host, given.share, direction=given.direction, match=given.match
        ),
        "block": lambda: faults.block(given.source, given.target),
        "partition": lambda: faults.partition(*(group.split(",") for group in given.groups)),
        "delay": lambda: faults.delay(given.host, given.ms / 1000, given.jitter_ms / 1000),
        "claim": lambda: faults.claim(given.address, given.host),
        "release": lambda: faults.release(given.host),
    }
    actions[given.verb]()
    in_force = {kind: what for kind, what in asdict(faults.state()).items() if what}
    print(f"faults now: {in_force or 'none'}")
    return 0


def bgp_router(given: Namespace) -> int:
    """Start the router that speaks BGP, or end it."""
    router = Lab.attach(given.name).bgp
    if given.stop:
        router.stop()
        print("the router speaks no BGP any more")
        return 0
    router.start(
        RouterOptions(
            asn=given.asn,
            node_asn=given.node_asn,
            password=given.password,
            has_bfd=given.bfd,
            keepalive_s=given.timers[0],
            hold_s=given.timers[1],
        )
    )
    print(f"the router (AS {given.asn}) waits for the nodes (AS {given.node_asn}) to call")
    return 0


def vtysh(given: Namespace) -> int:
    """Run commands in the router's own shell, in place of this process."""
    place = _site(given)
    shell = place.folder("bin") / "vtysh"
    if not shell.exists():
        raise LabError("no BGP router runs here; `python -m lab bgp-router` starts one")
    words = [word for command in given.commands for word in ("-c", command)]
    _become([*netns.enter_argv(place.namespace("router")), str(shell), *words], dict(os.environ))


def roll(given: Namespace) -> int:
    """Replace all speakers one by one."""
    control_of(Lab.attach(given.name)).roll()
    print("all speakers are new and ready")
    return 0


def power(given: Namespace) -> int:
    """Pull a node's plug, or plug it in."""
    control = control_of(Lab.attach(given.name))
    if given.verb == "power-off":
        control.power_off(given.node)
    else:
        control.power_on(given.node)
    print(f"{given.node}: {given.verb}")
    return 0


def busy(given: Namespace) -> int:
    """Start processes that use CPU time, or end them."""
    place = _site(given)
    hogs.stop(place)
    if given.count:
        hogs.start(place, given.count, given.seconds)
    return 0


def failover(given: Namespace) -> int:
    """Perform rounds of a failover scenario and print each as a line of JSON."""
    lab = Lab.attach(given.name)
    with Stage(lab, given.addresses, has_echo=not given.no_echo) as stage:
        for figures in stage.run(SCENARIOS[given.fault], given.rounds):
            print(json.dumps(asdict(figures)))
    return 0


def owner(given: Namespace) -> int:
    """Watch who answers for an address and report it."""
    lab = Lab.attach(given.name)
    watch = lab.observe.owner(given.address, host=given.host, interval_ms=given.interval_ms)
    seen = _observe(watch, given)
    if given.output == "json":
        print(json.dumps(asdict(seen)))
        return 0
    base = seen.intervals[0].begin if seen.intervals else 0.0
    print(f"{given.address}: asked {seen.asked} times, {seen.answered} answers")
    for interval in seen.intervals:
        name = lab.site.plan.host_of_mac(interval.mac)
        span = f"{interval.begin - base:9.3f} s to {interval.end - base:9.3f} s"
        print(f"  {span}  {name} ({interval.mac}), {interval.answers} answers")
    _print_gaps(seen.gaps, base)
    print(f"two owners at once for {seen.two_owners_s:.3f} s")
    return 0


def probe(given: Namespace) -> int:
    """Probe a service and report gaps."""
    observe = Lab.attach(given.name).observe
    if given.protocol == "http":
        watch = observe.http(given.target, host=given.host, interval_ms=given.interval_ms)
    else:
        watch = observe.udp(
            given.target, given.port, host=given.host, interval_ms=given.interval_ms
        )
    seen = _observe(watch, given)
    if given.output == "json":
        print(json.dumps(asdict(seen)))
        return 0
    print(f"{seen.succeeded} of {seen.tried} tries succeeded")
    print(f"latency: median {seen.latency_p50_ms:.1f} ms, longest {seen.latency_max_ms:.1f} ms")
    print(f"answered by {seen.by_pod or 'nobody'}; errors: {seen.errors or 'none'}")
    _print_gaps(seen.gaps, seen.gaps[0].begin if seen.gaps else 0.0)
    return 0


def capture(given: Namespace) -> int:
    """Print what passes on a host's interface, in place of this process."""
    place = _site(given)
    words = ["--interface", given.interface, "--only", given.only]
    words += ["--address", given.address] if given.address else []
    words += ["--write", given.write] if given.write else []
    words += ["--duration-s", str(given.duration_s)]
    argv = binaries.helper_argv("lab.observe.capture", *words)
    env = {**os.environ, **binaries.helper_env()}
    _become([*netns.enter_argv(place.namespace(given.host)), *argv], env)


def _site(given: Namespace) -> site.Site:
    found = site.Site.find(given.name)
    if found is None:
        raise LabError(f"no lab called {given.name}; `python -m lab up` brings one up")
    return found


def _light(given: Namespace) -> LightLab:
    lab = Lab.attach(given.name)
    if lab.site.settings.profile != "light":
        raise LabError(f"lab {given.name} is not of the light profile")
    return cast("LightLab", lab)


def _kube_env(place: site.Site) -> dict[str, str]:
    own = (place.folder("bin"), binaries.kube_dir(), paths.REPOSITORY / ".venv" / "bin")
    path = ":".join([*map(str, own), BASE_PATH])
    return {"KUBECONFIG": str(place.kubeconfig()), "PATH": path}


def _become(argv: Sequence[str], env: dict[str, str]) -> NoReturn:
    sys.stdout.flush()
    os.execve(argv[0], list(argv), env)


def _observe(watch: Watch[R], given: Namespace) -> R:
    """Let the observer run for its time, or until Ctrl-C, and return its report."""
    progress.say(f"observing for {given.duration_s:g} s (Ctrl-C ends it early)")
    try:
        time.sleep(given.duration_s)
    except KeyboardInterrupt:
        progress.say("interrupted; reporting what was seen")
    seen = watch.stop()
    watch.process.discard()
    return seen


def _print_gaps(gaps: Sequence[report.Gap], base: float) -> None:
    for gap in gaps:
        tail = " and still going on at the end" if gap.open else ""
        print(f"  gap of {gap.length_s:.3f} s from {gap.begin - base:.3f} s{tail}")
    if not gaps:
        print("no gaps")

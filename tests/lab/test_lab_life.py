"""Labs come and go without a trace, whatever happens to those who started them."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lab import Lab, binaries, netns, paths
from lab.errors import LabError
from lab.process import ProcessTable, all_stats
from lab.site import Site

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.light import LightLab

pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]
if os.geteuid() != 0:
    pytestmark.append(pytest.mark.skip(reason="a lab needs root"))

NAME = f"l{os.getpid()}"
BARE = {"controller": "", "speaker": ""}
START_S = 150.0
"""How long a lab may take to come up on a machine that does ten other things."""


@pytest.fixture(autouse=True)
def _nothing_stays() -> Iterator[None]:
    """Prove after each test that no namespace, folder or process of its labs is left."""
    yield
    for name in (NAME, f"{NAME}b"):
        assert netns.names(f"mlb-{name}-") == []
        assert not paths.lab_dir(name).exists()
        assert [
            s.pid for s in all_stats() if paths.lab_dir(name).name in _command_line(s.pid)
        ] == []


def _command_line(pid: int) -> list[str]:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0")
    except OSError:
        return []
    return [part for word in words for part in word.split("/")]


def test_two_labs_stand_side_by_side() -> None:
    """The same addresses in both, and a fault in one does not touch the other."""
    with Lab.light(name=NAME, nodes=1, **BARE) as one, Lab.light(f"{NAME}b", 1, **BARE) as other:
        for lab in (one, other):
            assert lab.kubectl("get", "nodes", "-o", "name").split() == ["node/n1"]
        one.kubectl("create", "namespace", "only-here")
        assert "only-here" not in other.kubectl("get", "namespaces")
        one.faults.cut("n1")
        ping = ["ping", "-c1", "-W1", "192.168.111.101"]
        assert one.client.run(ping, check=False).returncode != 0
        assert other.client.run(ping, check=False).returncode == 0


def test_a_living_labs_name_is_taken() -> None:
    """A second lab of the same name is refused, and the first one lives on."""
    with Lab.light(name=NAME, nodes=1, **BARE) as lab:
        with pytest.raises(LabError, match="is up already"):
            Lab.light(name=NAME, nodes=1, **BARE)
        assert lab.api.is_ready()


def test_the_command_leaves_a_lab_that_another_command_ends() -> None:
    """`up` returns and the lab stays; `status` shows it; `down` removes it."""
    try:
        _command("up", "--nodes", "1", "--no-programs")
        assert "kube-apiserver" in _command("status")
        assert "n1" in _command("kubectl", "get", "nodes")
        assert "192.168.111.101" in _command("exec", "n1", "--", "ip", "-4", "address")
        found = Site.find(NAME)
        assert found is not None
        assert not found.is_dead()
    finally:
        _command("down")


@pytest.mark.parametrize("suffix", ["", "b"])
def test_leftovers_of_a_killed_driver_give_way(suffix: str) -> None:
    """After SIGKILL of its driver a lab counts as dead, and the next one clears it away."""
    driver = _start_driver()
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    left = Site.find(NAME)
    assert left is not None
    assert left.is_dead()
    before = [process.pid for process in left.processes.all() if process.is_alive()]
    assert before
    with Lab.light(name=f"{NAME}{suffix}", nodes=1, **BARE) as lab:
        assert not set(before) & {s.pid for s in all_stats() if s.state not in "ZX"}
        assert lab.api.is_ready()


def test_ctrl_c_takes_the_lab_down() -> None:
    """An interrupt in the middle of the start leaves nothing."""
    driver = _start_driver(until="processes/kube-apiserver.json")
    try:
        os.kill(driver.pid, signal.SIGINT)
        assert driver.wait(timeout=60) != 0
    finally:
        driver.kill()
        driver.wait()


def test_down_removes_what_was_never_recorded() -> None:
    """A process in a lab's namespace that no record names is ended with the lab."""
    with Lab.light(name=NAME, nodes=1, **BARE) as lab:
        argv = [*netns.enter_argv(lab.nodes["n1"].namespace), "sleep", "300"]
        stray = subprocess.Popen(argv)
        lab.wait_for(lambda: stray.pid in netns.pids(lab.nodes["n1"].namespace))
    assert stray.wait(timeout=5) == -signal.SIGKILL


def test_a_failed_start_leaves_nothing(tmp_path: Path) -> None:
    """A lab that cannot come up is taken away and says why."""
    with pytest.raises(LabError, match="is no folder"):
        Lab.light(name=NAME, nodes=1, crds=str(tmp_path / "none"), **BARE)


def test_a_cut_node_becomes_not_ready_where_nodes_are_judged() -> None:
    """With the node lifecycle on, a cut-off node is given up and comes back."""
    with Lab.light(name=NAME, nodes=2, node_lifecycle=True, **BARE) as lab:

        def ready(node: str) -> str:
            conditions = lab.api.get(f"/api/v1/nodes/{node}")["status"]["conditions"]
            return str(next(c["status"] for c in conditions if c["type"] == "Ready"))

        lab.wait_for(lambda: "renewTime" in str(lab.api.get(_LEASE)), what="first lease")
        lab.faults.cut("n2")
        lab.wait_for(lambda: ready("n2") == "Unknown", timeout_s=40, what="n2 given up")
        assert ready("n1") == "True"
        lab.faults.heal()
        lab.wait_for(lambda: ready("n2") == "True", timeout_s=20, what="n2 back")


_LEASE = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n2"


def test_any_pair_is_run_with_its_flags_environment_and_rights(tmp_path: Path) -> None:
    """A stand-in sees what MetalLB's programs expect, and has the chart's rights only."""
    program = tmp_path / "program"
    kubectl = binaries.kube("kubectl")
    program.write_text(
        f"#!/bin/sh\nenv | grep METALLB_ | sort\necho args $*\n"
        f"{kubectl} -n $METALLB_NAMESPACE get pod $METALLB_POD_NAME -o name 2>&1\n"
        f"{kubectl} get nodes -o name 2>&1 | tail -n 1\n"
        "cat $METALLB_ML_SECRET_KEY_PATH/secretkey 2>/dev/null | wc -c\n"
        "echo done\nexec sleep 300\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    pair = {"controller": str(program), "speaker": str(program)}
    with Lab.light(name=NAME, nodes=2, **pair, speaker_args=("--port=9120",)) as lab:
        speaker, controller = lab.speaker("n2"), lab.controller
        for process in (speaker, controller):
            lab.wait_for(lambda p=process: "done" in p.log(), timeout_s=20)  # type: ignore[misc]
        told = speaker.log()
        for line in (
            "METALLB_NODE_NAME=n2",
            "METALLB_HOST=192.168.111.102",
            "METALLB_ML_BIND_ADDR=192.168.111.102",
            "METALLB_NAMESPACE=metallb",
            "args --port=9120",
            "pod/metallb-speaker-n2",
            "node/n2",
            "22",
        ):
            assert line in told.splitlines()
        told = controller.log()
        assert "METALLB_DEPLOYMENT=metallb-controller" in told
        assert "pod/metallb-controller-0" in told
        assert 'cannot list resource "nodes"' in told
        assert lab.kubectl("-n", "metallb", "get", "pods").count("1/1     Running") == 3


def _command(*words: str) -> str:
    argv = [sys.executable, "-m", "lab", "--name", NAME, *words]
    done = subprocess.run(argv, cwd=paths.REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _start_driver(until: str = "up") -> subprocess.Popen[bytes]:
    """Start a driver of its own and wait until its lab has come so far.

    A shell that started the tests in the background may have them ignore SIGINT.
    """
    script = (
        "import signal, time; from lab import Lab\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"with Lab.light(name={NAME!r}, nodes=1, controller='', speaker=''):\n"
        "    time.sleep(300)\n"
    )
    driver = subprocess.Popen(
        [sys.executable, "-c", script], cwd=paths.REPOSITORY, start_new_session=True
    )
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and driver.poll() is None:
        found = Site.find(NAME)
        if found is not None and (found.settings.phase == until or (found.dir / until).exists()):
            return driver
        time.sleep(0.05)
    driver.kill()
    driver.wait()
    _command("down")
    raise AssertionError("the driver's lab did not come up")


def test_records_of_processes_are_private(bare_lab: LightLab) -> None:
    """Environments may hold secrets; only root reads them."""
    folder = ProcessTable(bare_lab.site.dir)
    assert folder.all()
    for file in (bare_lab.site.dir / "processes").glob("*.json"):
        assert file.stat().st_mode & 0o077 == 0

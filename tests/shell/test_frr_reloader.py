"""The reloader as a program, with a stand-in for FRR's own tool."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mercurylb.frr_reloader import program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TOOL = """\
import pathlib, sys, time
folder = pathlib.Path(sys.argv[0]).parent
with (folder / "calls").open("a") as calls:
    calls.write(" ".join(sys.argv[1:]) + "\\n")
print("neighbor 192.0.2.1 password open-sesame", flush=True)
print("on the other stream: password too", file=sys.stderr)
time.sleep(float((folder / "takes").read_text() or 0))
fails = (folder / "fails").read_text().split()
if fails and fails[0] in sys.argv:
    (folder / "fails").write_text(" ".join(fails[1:]))
    sys.exit(1)
"""


class Reloader:
    """A reloader that runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.shared = folder / "shared"
        self.shared.mkdir()
        self.config = self.shared / "frr.conf"
        (folder / "tool.py").write_text(TOOL)
        (folder / "fails").write_text("")
        (folder / "takes").write_text("")
        command = (
            "from mercurylb.frr_reloader import program\n"
            f"program.FRR_RELOAD = ({sys.executable!r}, {str(folder / 'tool.py')!r})\n"
            "program.main([])\n"
        )
        self._log = folder / "log"
        with self._log.open("w") as log:
            self.child = subprocess.Popen(
                [sys.executable, "-c", command],
                stdout=log,
                stderr=log,
                env={**os.environ, "SHARED_VOLUME": str(self.shared)},
            )
        self.until((self.shared / "reloader.pid").exists)

    def until(self, condition: Callable[[], object]) -> None:
        """Wait for a condition."""
        ends_at = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < ends_at, self.log
            time.sleep(0.01)

    @property
    def log(self) -> str:
        """Give what it said."""
        return self._log.read_text()

    @property
    def calls(self) -> list[str]:
        """Give what the tool was asked."""
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []

    @property
    def status(self) -> str:
        """Give the result of the last reload; empty before the first."""
        path = self.shared / ".status"
        return path.read_text() if path.exists() else ""

    def hang_up(self) -> None:
        """Ask for a reload."""
        self.child.send_signal(signal.SIGHUP)


@pytest.fixture
def reloader(tmp_path: Path) -> Iterator[Reloader]:
    """Run one."""
    made = Reloader(tmp_path)
    yield made
    if made.child.poll() is None:
        made.child.kill()
    made.child.wait()


@pytest.mark.rule("bgp-frr-A8.reloader.apply", "bgp-frr-A8.status")
def test_a_file_is_tried_and_then_applied(reloader: Reloader) -> None:
    """The tool is asked twice, and the time and the result are written down."""
    before = int(time.time())
    reloader.hang_up()
    reloader.until(lambda: reloader.status)
    file = reloader.config
    assert reloader.calls == [f"--test --stdout {file}", f"--reload --overwrite --stdout {file}"]
    when, result = reloader.status.split(" ")
    assert result == "success"
    assert before <= int(when) <= int(time.time())
    time.sleep(0.3)  # Nothing is to happen without another signal.
    assert len(reloader.calls) == 2


@pytest.mark.rule("bgp-frr-A8.reloader.retract")
def test_passwords_are_not_logged(reloader: Reloader) -> None:
    """Whatever the tool prints, on either stream."""
    reloader.hang_up()
    reloader.until(lambda: reloader.status)
    assert reloader.log.count("neighbor 192.0.2.1 password <retracted>\n") == 2
    assert reloader.log.count("on the other stream: password <retracted>\n") == 2
    assert "sesame" not in reloader.log


@pytest.mark.rule("bgp-frr-A8.reloader.test")
def test_a_file_that_is_refused_is_not_applied(reloader: Reloader) -> None:
    """The reload has failed, and the next one can succeed."""
    (reloader.folder / "fails").write_text("--test")
    reloader.hang_up()
    reloader.until(lambda: reloader.status)
    assert reloader.status.endswith(" failure")
    assert len(reloader.calls) == 1
    reloader.hang_up()
    reloader.until(lambda: reloader.status.endswith(" success"))


@pytest.mark.parametrize(
    ("fails", "result"), [("--reload", "success"), ("--reload --reload", "failure")]
)
def test_applying_is_attempted_twice(reloader: Reloader, fails: str, result: str) -> None:
    """FRR may refuse to hear something twice, and then lacks nothing."""
    (reloader.folder / "fails").write_text(fails)
    reloader.hang_up()
    reloader.until(lambda: reloader.status)
    assert reloader.status.endswith(f" {result}")
    assert [call.split()[0] for call in reloader.calls] == ["--test", "--reload", "--reload"]


@pytest.mark.rule("bgp-frr-A8.reloader.queue")
def test_a_signal_during_a_reload_brings_another(reloader: Reloader) -> None:
    """Never two at a time, and never none."""
    (reloader.folder / "takes").write_text("0.3")
    reloader.hang_up()
    reloader.until(lambda: len(reloader.calls) == 1)
    for _ in range(5):
        reloader.hang_up()
    reloader.until(lambda: len(reloader.calls) == 4)
    reloader.until(lambda: reloader.log.count("FRR was reloaded") == 2)
    assert [call.split()[0] for call in reloader.calls] == ["--test", "--reload"] * 2


@pytest.mark.rule("bgp-frr-A8.reloader.files")
def test_files_of_one_before_are_replaced(tmp_path: Path) -> None:
    """A process ID that is not ours does not stay."""
    (tmp_path / "reloader.pid").write_text("1")
    (tmp_path / "lock").write_text("old")
    made = program.Reloader(tmp_path)
    made.start()
    assert (tmp_path / "reloader.pid").read_text() == str(os.getpid())
    assert (tmp_path / "lock").exists()
    made.clean()
    assert list(tmp_path.iterdir()) == []
    made.clean()


@pytest.mark.rule("bgp-frr-A8.reloader.stop")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_at_once(reloader: Reloader, number: signal.Signals) -> None:
    """Also during a reload; nobody finds it any more."""
    (reloader.folder / "takes").write_text("2")
    reloader.hang_up()
    reloader.until(lambda: reloader.calls)
    reloader.child.send_signal(number)
    assert reloader.child.wait(1.5) == 0
    assert not (reloader.shared / "reloader.pid").exists()
    assert not (reloader.shared / "lock").exists()


def test_it_installs_itself(tmp_path: Path) -> None:
    """One file, executable, that any Python runs without anything of ours."""
    target = tmp_path / "frr-reloader"
    program.main(["--install", str(target)])
    assert target.read_bytes() == Path(program.__file__).read_bytes()
    assert target.stat().st_mode & 0o777 == 0o755
    words = [sys.executable, "-I", str(target), "--nonsense"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "usage: mercurylb-frr-reloader" in done.stderr


def test_it_needs_nothing_but_python() -> None:
    """FRR's image has an older Python and no library of ours."""
    text = Path(program.__file__).read_text()
    tree = ast.parse(text, feature_version=(3, 8))
    imported = {
        alias.name for n in ast.walk(tree) if isinstance(n, ast.Import) for alias in n.names
    }
    imported |= {n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in imported} <= sys.stdlib_module_names

"""The `frr` backend: its files, its signal, and what it makes of the reloader's answer."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from mercurylb.plan.bgp_wanted import BgpWanted
from mercurylb.speaker.frr_backend import DEBOUNCE_S, FrrBackend, debounce_s_of
from tests.unit.frr.cases import peer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


class Beside:
    """A backend with its folder; this process plays the reloader."""

    def __init__(self, folder: Path, **environ: str) -> None:
        self.file = folder / "frr.conf"
        self.pid_file = folder / "reloader.pid"
        self.status_file = folder / ".status"
        self.asked = asyncio.Event()
        paths = {"FRR_CONFIG_FILE": str(self.file), "FRR_RELOADER_PID_FILE": str(self.pid_file)}
        self.backend = FrrBackend(debounce="1", log_level="info", environ={**paths, **environ})

    def write_pid(self) -> None:
        """Be there."""
        self.pid_file.write_text(str(os.getpid()))

    async def reloaded(self) -> str:
        """Wait for the signal and give the file."""
        async with asyncio.timeout(10):
            await self.asked.wait()
        self.asked.clear()
        return self.file.read_text()


@contextlib.asynccontextmanager
async def running(folder: Path, **environ: str) -> AsyncIterator[Beside]:
    """Run a backend."""
    made = Beside(folder, **environ)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, made.asked.set)
    task = asyncio.create_task(made.backend.run())
    try:
        yield made
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        loop.remove_signal_handler(signal.SIGHUP)


def names(folder: Path) -> set[str]:
    """Give the names of the files in a folder."""
    return {path.name for path in folder.iterdir()}


def wanted(**settings: Any) -> BgpWanted:
    """Want one peer."""
    return BgpWanted((peer(**settings),))


@pytest.mark.rule("bgp-frr-A8.file", "bgp-frr-A8.signal")
async def test_the_file_is_written_and_the_reloader_told(tmp_path: Path) -> None:
    """Only its owner can read it; nothing is left beside it."""
    async with running(tmp_path) as beside:
        beside.write_pid()
        beside.file.write_text("old")
        beside.file.chmod(0o666)
        beside.backend.apply(wanted(password="word"))
        assert "neighbor 192.0.2.1 password word\n" in await beside.reloaded()
        assert beside.file.stat().st_mode & 0o777 == 0o600
        assert names(tmp_path) == {"frr.conf", "reloader.pid"}


@pytest.mark.rule("bgp-frr-A10.speaker-restart", "bgp-frr-A8.debounce")
async def test_nothing_is_written_before_something_is_wanted(tmp_path: Path) -> None:
    """And changes that come together are one reload with the last of them."""
    async with running(tmp_path) as beside:
        beside.write_pid()
        await asyncio.sleep(0.02)
        assert not beside.file.exists()
        for number in range(1, 6):
            beside.backend.apply(wanted(peer_asn=number))
        assert "remote-as 5" in await beside.reloaded()


@pytest.mark.rule("bgp-frr-A1.whole")
async def test_each_change_writes_everything(tmp_path: Path) -> None:
    """A peer that is gone is gone from the file; profiles and extra lines come and go with it."""
    async with running(tmp_path) as beside:
        beside.write_pid()
        beside.backend.apply(BgpWanted((peer(),), extras="agentx"))
        assert (await beside.reloaded()).endswith("exit-address-family\nagentx\n")
        beside.backend.apply(BgpWanted())
        assert (await beside.reloaded()).endswith("ipv6 nht resolve-via-default\n")


@pytest.mark.rule("bgp-frr-A2.level-env")
@pytest.mark.parametrize(
    ("environ", "level"),
    [({}, "informational"), ({"FRR_LOGGING_LEVEL": "alerts"}, "alerts")],
)
async def test_the_environment_sets_the_level(
    tmp_path: Path, environ: dict[str, str], level: str
) -> None:
    """As it is, in place of the speaker's own."""
    async with running(tmp_path, **environ) as beside:
        beside.write_pid()
        beside.backend.apply(wanted())
        assert (await beside.reloaded()).startswith(f"log stdout {level}\n")


@pytest.mark.rule("bgp-frr-A10.no-sidecar", "bgp-frr-A8.pid")
@pytest.mark.parametrize("pid", [None, "", "12x"])
async def test_without_a_reloader_the_reason_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], pid: str | None
) -> None:
    """The file is there already; the next attempt comes by itself."""
    async with running(tmp_path) as beside:
        if pid is not None:
            beside.pid_file.write_text(pid)
        beside.backend.apply(wanted())
        told = ""
        async with asyncio.timeout(10):
            while "frr.reload_impossible" not in told:
                await asyncio.sleep(0.01)
                told += capsys.readouterr().out
        assert '"cause":"signal"' in told
        assert "neighbor 192.0.2.1" in beside.file.read_text()


@pytest.mark.rule("bgp-frr-A8.status-success")
async def test_a_success_is_told_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A status without a new time is no news."""
    async with running(tmp_path) as beside:
        beside.backend.look_at_status()
        assert capsys.readouterr().out == ""
        beside.status_file.write_text("1700000000 success")
        beside.backend.look_at_status()
        beside.backend.look_at_status()
        (line,) = capsys.readouterr().out.splitlines()
        assert '"op":"reload-validate"' in line
        assert '"success":"reloaded config"' in line


@pytest.mark.rule("bgp-frr-A8.use-old", "bgp-frr-A8.status-failure")
async def test_a_failure_has_the_same_configuration_tried_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Once per time that the reloader writes down."""
    async with running(tmp_path) as beside:
        beside.write_pid()
        beside.backend.apply(wanted())
        text = await beside.reloaded()
        beside.status_file.write_text("1700000000 failure")
        beside.backend.look_at_status()
        assert await beside.reloaded() == text
        beside.backend.look_at_status()
        assert capsys.readouterr().out.count("frr.reload_failed") == 1
        beside.status_file.write_text("1700000001 failure")
        beside.backend.look_at_status()
        assert await beside.reloaded() == text


@pytest.mark.rule("bgp-frr-A8.status-failure")
async def test_a_failure_before_anything_is_wanted_changes_nothing(tmp_path: Path) -> None:
    """There is nothing to try again."""
    async with running(tmp_path) as beside:
        beside.write_pid()
        beside.status_file.write_text("1700000000 failure")
        beside.backend.look_at_status()
        await asyncio.sleep(0.02)
        assert not beside.file.exists()


@pytest.mark.rule("bgp-frr-A8.status-fields")
async def test_a_status_that_is_none_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It asks for nothing."""
    async with running(tmp_path) as beside:
        beside.status_file.write_text("success")
        beside.backend.look_at_status()
        assert "frr.status_unreadable" in capsys.readouterr().out


@pytest.mark.parametrize(("text", "seconds"), [("", DEBOUNCE_S), ("3000", 3.0), ("+1", 0.001)])
def test_the_debounce_is_given_in_milliseconds(text: str, seconds: float) -> None:
    """Unlike MetalLB's 3 s, a change is written at once when nothing is said."""
    assert debounce_s_of(text) == seconds
    assert DEBOUNCE_S < 0.5

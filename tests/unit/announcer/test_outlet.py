"""Log lines that leave without making anybody wait."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import msgspec
import pytest

from mercurylb.announcer import outlet
from mercurylb.announcer.outlet import Outlet
from mercurylb.telemetry import logs as log

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Give a pipe, and the standard log back afterwards."""
    read, write = os.pipe()
    yield read, write
    os.close(read)
    os.close(write)
    log.configure(log.Level.INFO)


def read_all(descriptor: int) -> bytes:
    """Return what is in a pipe now."""
    os.set_blocking(descriptor, False)
    found = b""
    try:
        while received := os.read(descriptor, 65536):
            found += received
    except BlockingIOError:
        pass
    return found


@pytest.mark.parametrize("can_reopen", [True, False], ids=["own descriptor", "shared descriptor"])
def test_full_pipe_makes_nobody_wait(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch, *, can_reopen: bool
) -> None:
    """With nobody reading, lines wait up to a bound and are counted beyond it; none is cut."""
    read, write = pipe
    if not can_reopen:
        monkeypatch.setattr(outlet, "_own_descriptor", lambda descriptor: descriptor)
    monkeypatch.setattr(outlet, "WAITING_BYTES_MAX", 20_000)
    made = Outlet(write)
    log.configure(log.Level.INFO, stream=made)
    for number in range(2_000):
        log.info("test.line", number=number, filler="x" * 40)
    assert made.dropped_count > 0
    assert os.get_blocking(write), "the descriptor that the brain writes to is left alone"
    found = read_all(read)
    log.info("test.last")
    found += read_all(read)
    made.close()
    found += read_all(read)
    lines = [msgspec.json.decode(line) for line in found.splitlines()]
    numbers = [line["number"] for line in lines if line["event"] == "test.line"]
    assert numbers == list(range(len(numbers)))
    dropped = [line["count"] for line in lines if line["event"] == "log.dropped"]
    assert sum(dropped) + len(numbers) + 1 == 2_001
    assert lines[-1]["event"] == "log.dropped"


async def test_waiting_lines_leave_when_there_is_room(pipe: tuple[int, int]) -> None:
    """Once somebody reads, the loop writes what waits, without another line being logged."""
    read, write = pipe
    made = Outlet(write)
    made.attach(asyncio.get_running_loop())
    for _ in range(40):
        made.write("x" * 4_000 + "\n")
        made.flush()
    found = b""
    async with asyncio.timeout(5):
        while len(found) < 40 * 4_001:
            found += read_all(read)
            await asyncio.sleep(0)
    made.close()


def test_reader_that_is_gone_costs_the_lines_only() -> None:
    """A closed pipe is no error."""
    read, write = os.pipe()
    made = Outlet(write)
    os.close(read)
    made.write("line\n")
    made.flush()
    made.close()
    os.close(write)


def test_regular_files_are_written_as_they_are(tmp_path: Path) -> None:
    """A file is shared with the brain, position and all."""
    with (tmp_path / "log").open("wb", buffering=0) as file:
        file.write(b"brain\n")
        made = Outlet(file.fileno())
        made.write("announcer \udcff\n")
        made.flush()
        file.write(b"brain\n")
        made.close()
    assert (tmp_path / "log").read_bytes() == b"brain\nannouncer \\udcff\nbrain\n"


def test_no_standard_output_at_all() -> None:
    """Without a descriptor to write to nothing is said, and nothing raised."""
    read, write = os.pipe()
    os.close(read)
    os.close(write)
    made = Outlet(write)
    made.write("line\n")
    made.flush()
    made.close()

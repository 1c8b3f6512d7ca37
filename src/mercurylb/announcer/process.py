"""The process of the announcer."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from mercurylb.announcer.settings import AnnouncerSettings


def run(settings: AnnouncerSettings, brain: Callable[[socket.socket], int]) -> int:
    """Announce until SIGTERM or SIGINT, with `brain` in a child process; return the exit code."""
    raise NotImplementedError

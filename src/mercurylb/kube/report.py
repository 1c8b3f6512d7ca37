"""Where this room says what happened.

The room must not import the telemetry room (siblings do not know each other), so programs hand in
anything that has these four functions; the module `mercurylb.telemetry.logs` has them.
"""

from __future__ import annotations

from typing import Protocol


class Log(Protocol):
    """A structured log: a constant event name and key/values; `msg` is a sentence for people."""

    def debug(self, event: str, /, **pairs: object) -> None:
        """Say why a decision was taken."""

    def info(self, event: str, /, **pairs: object) -> None:
        """Say what an operator would tell a colleague."""

    def warning(self, event: str, /, **pairs: object) -> None:
        """Say what is degraded and heals by itself."""

    def error(self, event: str, /, **pairs: object) -> None:
        """Say what needs a person."""


class Silence:
    """A log that drops everything."""

    def debug(self, event: str, /, **pairs: object) -> None:
        """Drop it."""

    def info(self, event: str, /, **pairs: object) -> None:
        """Drop it."""

    def warning(self, event: str, /, **pairs: object) -> None:
        """Drop it."""

    def error(self, event: str, /, **pairs: object) -> None:
        """Drop it."""


SILENCE = Silence()

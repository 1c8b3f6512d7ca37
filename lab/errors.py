"""The lab's errors.

LabError
  CommandError     a program the lab ran ended badly (argv, status, output)
  ProcessError     a long-lived process could not start or died early
  ApiError         the API server answered with an error (status, reason)
  WaitTimeout      a condition did not come true in time
  LeakError        a namespace of the lab could reach the machine's network
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence


class LabError(Exception):
    """Something about the lab, told in words a person can act on."""


class CommandError(LabError):
    """A program ended with a status other than zero."""

    def __init__(self, argv: Sequence[str], status: int, output: str) -> None:
        self.argv = tuple(argv)
        self.status = status
        self.output = output
        super().__init__(f"`{' '.join(argv)}` ended with {status}: {output.strip()[-2000:]}")


class ProcessError(LabError):
    """A process of the lab could not be started or died early."""


class ApiError(LabError):
    """The API server refused a request."""

    def __init__(self, status: int, body: Any, request: str) -> None:  # noqa: ANN401  (JSON)
        self.status = status
        self.reason = body.get("reason", "") if isinstance(body, dict) else ""
        message = body.get("message", body) if isinstance(body, dict) else body
        super().__init__(f"{request}: {status} {self.reason}: {message}")


class WaitTimeout(LabError, TimeoutError):  # noqa: N818  (a timeout is what it is)
    """A condition did not come true in time."""


class LeakError(LabError):
    """A namespace of the lab could reach the machine's own network."""

"""The one exception tree of MercuryLB.

::

    MercuryError
      ConfigError          problems: what is wrong with which field of which object
      ParseError           text that is not an address, a range, a selector, a duration …
        UnreadableDocument (cli.documents) a file that is not YAML or JSON, or is too large
      WireError            bytes that are not what the protocol says; the only thing decoders raise
        BgpError (bgp.error)  and what a BGP peer is told of it
      PeerError            the remote end broke the rules of a protocol
      LocalProtocolError   we broke the rules of a protocol
      KubeError
        ApiError           the API server answered with an error
          Conflict         409: somebody else wrote first
          Gone             410: the resource version is too old, list again
          Denied           401 or 403
          NotFound         404
        Unreachable        no answer from the API server
        Fenced             not asked: another process has the lease
      LinkError            an interface or a socket on it failed

Expected outcomes are values (a dropped frame, "not owner because …", why a service gets no
address), not exceptions. An exception is for what the caller cannot go on from; it is caught at the
edges only, by its narrow type.
"""

from __future__ import annotations

import msgspec


class Problem(msgspec.Struct, frozen=True, order=True):
    """One mistake in one field of one object.

    Its text is the same in the webhook, the status and the command line.
    """

    object: str
    """Kind and key, for example `IPAddressPool metallb/pool-a`."""
    field: str
    """Path inside the object, for example `spec.addresses[2]`; empty for the whole object."""
    value: str
    """What stands there, as text."""
    message: str
    hint: str = ""
    """What to do about it, if that is not obvious."""
    code: str = ""
    """A stable word for programs that sort problems, for example `pool-overlap`."""
    is_transient: bool = False
    """Whether it vanishes once an object that is referred to is created."""

    def __str__(self) -> str:
        """Give one line (the hint in brackets at its end)."""
        where = f"{self.object}: {self.field}" if self.field else self.object
        hint = f" ({self.hint})" if self.hint else ""
        return f"{where}: {self.message}{hint}"


class MercuryError(Exception):
    """The root: everything MercuryLB raises on purpose."""


class ConfigError(MercuryError):
    """A configuration cannot be accepted.

    `problems` names every mistake that was found, not only the first.
    """

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class ParseError(MercuryError):
    """A piece of text is not what its grammar asks for; the only thing parsers of text raise."""


class WireError(MercuryError):
    """Bytes from the network do not decode.

    `offset` is where in the buffer (bytes from its start) the rule was broken; `reason` is a short
    fixed word to count by, where the protocol has such.
    """

    def __init__(self, protocol: str, message: str, *, offset: int = 0, reason: str = "") -> None:
        super().__init__(f"{protocol}: {message} (at byte {offset})")
        self.protocol = protocol
        self.offset = offset
        self.reason = reason


class PeerError(MercuryError):
    """The remote end broke the rules of a protocol."""


class LocalProtocolError(MercuryError):
    """We asked a protocol machine for something its state does not allow."""


class KubeError(MercuryError):
    """A conversation with the API server failed."""


class ApiError(KubeError):
    """The API server answered with an error status.

    `status` is the HTTP status, `reason` the API's own word for it (`Conflict`, `Invalid` …),
    `retry_after_s` what the server asked for, if it did.
    """

    def __init__(
        self, status: int, reason: str, message: str, *, retry_after_s: float | None = None
    ) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after_s = retry_after_s


class Conflict(ApiError):  # noqa: N818 (named as the API names it)
    """409: the object changed since it was read, or exists already."""


class Gone(ApiError):  # noqa: N818
    """410: the resource version is no longer kept; list again."""


class Denied(ApiError):  # noqa: N818
    """401 or 403: the credentials do not allow this."""


class NotFound(ApiError):  # noqa: N818
    """404: no such object, or no such kind."""


class Unreachable(KubeError):  # noqa: N818
    """The API server did not answer."""


class Fenced(KubeError):  # noqa: N818
    """The request was not sent: another process has the lease, or may have it by now."""


class LinkError(MercuryError):
    """An interface, or a socket on it, failed."""

    def __init__(self, interface: str, message: str, *, errno: int | None = None) -> None:
        super().__init__(f"{interface}: {message}")
        self.interface = interface
        self.errno = errno

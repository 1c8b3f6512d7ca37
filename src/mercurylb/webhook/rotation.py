"""Is what the secret holds good for long enough? (spec: config §11.3)

The secret holds an authority (`ca.crt`, `ca.key`) and a server certificate that it signed
(`tls.crt`, `tls.key`). Both must be valid today and 90 days from now; what is not is made anew. A
new authority always comes with a new server certificate.

Pure: looking into certificates is `forge`'s work, which brings the `Facts`. Times are seconds since
the epoch.
"""

from __future__ import annotations

import enum
from typing import Final

import msgspec

DAY_S: Final = 86_400.0
AUTHORITY_VALIDITY_S: Final = 3650 * DAY_S
SERVER_VALIDITY_S: Final = 365 * DAY_S
LOOKAHEAD_S: Final = 90 * DAY_S
CHECK_INTERVAL_S: Final = 43_200.0
BACKDATE_S: Final = 3600.0
"""For clients whose clock is late."""

CA_CERT: Final = "ca.crt"
CA_KEY: Final = "ca.key"
TLS_CERT: Final = "tls.crt"
TLS_KEY: Final = "tls.key"
KEYS: Final = (CA_CERT, CA_KEY, TLS_CERT, TLS_KEY)


class Action(enum.Enum):
    """What to do about a secret."""

    KEEP = "keep"
    RENEW_SERVER = "renew server certificate"
    RENEW_ALL = "renew authority and server certificate"


class Validity(msgspec.Struct, frozen=True):
    """From when to when a certificate is good, or what else is wrong with it."""

    begins_at: float = 0.0
    ends_at: float = 0.0
    defect: str = ""


class Facts(msgspec.Struct, frozen=True):
    """What a look into a secret found."""

    authority: Validity
    server: Validity


class Decision(msgspec.Struct, frozen=True):
    """What to do now, why, and when to look again unless the secret changes before."""

    action: Action
    reason: str
    look_again_at: float


class Question(msgspec.Struct, frozen=True):
    """What `forge` is asked: look into these contents, and renew what must be."""

    contents: dict[str, bytes]
    dns_name: str
    now: float


class Material(msgspec.Struct, frozen=True):
    """A server certificate with its key, and the authorities a client must trust for it."""

    pair: bytes
    """PEM: certificate, then key."""
    authorities: tuple[bytes, ...]
    """DER, the one that signed first."""
    ends_at: float = 0.0

    def __repr__(self) -> str:
        """Give no key away."""
        return f"Material({len(self.authorities)} authorities)"


class Answer(msgspec.Struct, frozen=True):
    """What `forge` answers: the decision, and what the secret must hold after it."""

    decision: Decision
    contents: dict[str, bytes]
    """All four keys; what was there before when nothing was renewed."""
    material: Material
    current: Material | None = None
    """What the secret held before, if that can be served today."""


def decide(facts: Facts, *, now: float) -> Decision:
    """Decide what must be renewed."""
    for name, validity, action in (
        ("authority", facts.authority, Action.RENEW_ALL),
        ("server certificate", facts.server, Action.RENEW_SERVER),
    ):
        wrong = validity.defect or _time_defect(validity, now)
        if wrong:
            return Decision(action, f"{name}: {wrong}", now + CHECK_INTERVAL_S)
    first_end = min(facts.authority.ends_at, facts.server.ends_at)
    due_at = first_end - LOOKAHEAD_S
    return Decision(Action.KEEP, "", min(due_at, now + CHECK_INTERVAL_S))


def is_usable(facts: Facts, *, now: float) -> bool:
    """Tell whether the server certificate can be served today, however short it still lasts."""
    return all(
        not validity.defect and validity.begins_at <= now <= validity.ends_at
        for validity in (facts.authority, facts.server)
    )


def _time_defect(validity: Validity, now: float) -> str:
    if now < validity.begins_at:
        return "not valid yet"
    if now > validity.ends_at:
        return "expired"
    if now + LOOKAHEAD_S > validity.ends_at:
        return f"expires in less than {LOOKAHEAD_S / DAY_S:.0f} days"
    return ""

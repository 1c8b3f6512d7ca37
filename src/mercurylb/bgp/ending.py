"""How a connection ends."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from mercurylb.bgp.notification import CeaseCode, Code, Notification
from mercurylb.bgp.state import State

if TYPE_CHECKING:
    from mercurylb.bgp.session import Session

HARD = frozenset({CeaseCode.DECONFIGURED, CeaseCode.SHUTDOWN, CeaseCode.BFD_DOWN})
"""After these our routes are of no use any more, whatever was said of restarts (RFC 8538)."""


class Ending(Enum):
    """Without a NOTIFICATION of ours."""

    TOLD = 0
    """The peer said why; what is still to be written leaves."""
    SILENT = 1
    """Nothing is to be written any more."""
    GONE = 2
    """It has ended already."""


def is_collision(how: Notification | Ending) -> bool:
    """Tell whether another connection stays in its place."""
    return isinstance(how, Notification) and (
        (how.code, how.subcode) == (Code.CEASE, CeaseCode.COLLISION)
    )


def hardened(told: Notification, session: Session) -> Notification:
    """Say that the routes are void as well, where the peer would keep them otherwise."""
    agreement = session.agreement
    if agreement is None or not agreement.has_restart_notification:
        return told
    if session.state != State.ESTABLISHED or told.code != Code.CEASE or told.subcode not in HARD:
        return told
    data = bytes((told.code, told.subcode)) + told.data
    return Notification(Code.CEASE, CeaseCode.HARD_RESET, data)

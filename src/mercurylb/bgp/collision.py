"""Which of two connections with one peer stays (RFC 4271 section 6.8, RFC 6286, RFC 4724)."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from mercurylb.bgp.prefix import encode_address
from mercurylb.bgp.state import State

if TYPE_CHECKING:
    from mercurylb.bgp.session import Session


class Survivor(Enum):
    """Which of two sessions with one peer stays."""

    OLD = 0
    NEW = 1
    NEW_RESTARTED = 2
    """The old one is that of a process which is no more."""


def survivor(new: Session, old: Session, *, is_restart: bool) -> Survivor:
    """Decide when the peer's OPEN has come over both; `is_restart` if it may have restarted.

    The side with the higher identifier keeps the connection that it dialled, with equal ones the
    side with the higher AS number. An established session stays, unless the peer dials again in a
    session that has graceful restart: then it lost the old one (RFC 4724 section 4.2).
    """
    if old.state == State.ESTABLISHED:
        is_new = is_restart and new.is_incoming
        return Survivor.NEW_RESTARTED if is_new else Survivor.OLD
    if new.is_incoming == old.is_incoming:
        return Survivor.NEW
    assert new.theirs is not None, "its OPEN has come"
    mine = encode_address(new.ours.router_id), new.ours.asn
    their = encode_address(new.theirs.router_id), new.theirs.asn
    is_ours_kept = mine > their
    return Survivor.OLD if new.is_incoming == is_ours_kept else Survivor.NEW

"""How the processes of a cluster are made; the membership of our announcers is a parameter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mercurylb.membership.heartbeat import HeartbeatMembership
from mercurylb.membership.swim.keyring import derive_key
from mercurylb.net.aead import AesGcm
from tests.sim.world.process import PORT, Announcer, Identity

if TYPE_CHECKING:
    import random

    from mercurylb.membership.member import Membership
    from tests.sim.world.process import Process


def make_announcer(  # noqa: PLR0913 (what a process is told at its start)
    identity: Identity,
    chance: random.Random,
    *,
    kind: str,
    is_sealed: bool,
    lease_s: float,
    now: float,
) -> Announcer:
    """Make one of our announcers with a kind of membership."""
    membership = _MEMBERSHIPS[kind](identity, chance, is_sealed)
    return Announcer(identity, membership, lease_s=lease_s, now=now)


def make_gossiper(identity: Identity, chance: random.Random, *, is_sealed: bool) -> Process:
    """Make a speaker as MetalLB's."""
    from tests.sim.world.gossiper import Gossiper  # noqa: PLC0415

    return Gossiper(identity, chance, AesGcm(derive_key(identity.secret)) if is_sealed else None)


def _heartbeat(identity: Identity, chance: random.Random, is_sealed: bool) -> Membership:  # noqa: FBT001
    del chance, is_sealed
    return HeartbeatMembership(
        identity.node, incarnation=identity.started_at_s * 1000, secret=identity.secret
    )


def _combined(identity: Identity, chance: random.Random, is_sealed: bool) -> Membership:  # noqa: FBT001
    from mercurylb.membership.swim.config import LAN  # noqa: PLC0415

    from mercurylb.membership.combined import CombinedMembership  # noqa: PLC0415

    return CombinedMembership(
        identity.node,
        identity.address,
        PORT,
        secret=identity.secret if is_sealed else b"",
        seal=AesGcm(derive_key(identity.secret)) if is_sealed else None,
        config=LAN,
        chance=chance,
        incarnation=identity.started_at_s,
    )


_MEMBERSHIPS = {"heartbeat": _heartbeat, "combined": _combined}

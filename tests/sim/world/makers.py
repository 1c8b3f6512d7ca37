"""How the processes of a cluster are made; the membership of our announcers is a parameter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mercurylb.membership.combined import CombinedMembership
from mercurylb.membership.swim.config import LAN
from mercurylb.membership.swim.keyring import derive_key
from mercurylb.net.aead import AesGcm
from tests.sim.world.gossiper import Gossiper
from tests.sim.world.process import PORT, Announcer, Identity

if TYPE_CHECKING:
    import random

    from mercurylb.membership.member import Membership
    from mercurylb.membership.seal import Seal
    from mercurylb.membership.swim.config import SwimConfig
    from tests.sim.world.shape import Shape


def make_announcer(
    identity: Identity, chance: random.Random, shape: Shape, *, lease_s: float, now: float
) -> Announcer:
    """Make one of our announcers with the membership that the shape names."""
    membership = _MEMBERSHIPS[shape.membership](identity, chance, shape)
    return Announcer(identity, membership, lease_s=lease_s, now=now)


def make_gossiper(identity: Identity, chance: random.Random, shape: Shape) -> Gossiper:
    """Make a speaker as MetalLB's."""
    return Gossiper(identity, chance, _config(shape), _seal(identity, shape))


def _combined(identity: Identity, chance: random.Random, shape: Shape) -> Membership:
    return CombinedMembership(
        identity.node,
        identity.address,
        PORT,
        secret=identity.secret if shape.is_sealed else b"",
        seal=_seal(identity, shape),
        config=_config(shape),
        chance=chance,
        incarnation=identity.started_at_s,
    )


def _config(shape: Shape) -> SwimConfig:
    return LAN if shape.is_compressed else msgspec.structs.replace(LAN, enable_compression=False)


def _seal(identity: Identity, shape: Shape) -> Seal | None:
    return AesGcm(derive_key(identity.secret)) if shape.is_sealed else None


_MEMBERSHIPS = {"combined": _combined}

"""BFD: its packets, and a session that hears whatever the bytes say."""

from __future__ import annotations

import random

from mercurylb.bfd import packet
from mercurylb.bfd.auth import Authentication, AuthenticationType, Signer
from mercurylb.bfd.effect import Arrival, BfdKey
from mercurylb.bfd.packet import Packet, State
from mercurylb.bfd.settings import BfdSettings
from mercurylb.bfd.table import BfdTable

STEPS_MAX = 64
DEADLINES_MAX = 32
EFFECTS_MAX = 3
_KEY = BfdKey("192.0.2.1", interface="eth0")
_SECRET = b"key"
_TO_US = 0x80
"""In a step's first byte: our discriminator is filled in."""


def check_packet(octets: bytes) -> None:
    """Decode, and see that encoding loses nothing."""
    decoded = packet.decode(octets)
    assert packet.decode(packet.encode(decoded)) == decoded


def check_table(octets: bytes) -> None:
    """Play packets at a session: flags, then steps of a pause, a size and so many octets."""
    flags = octets[0] if octets else 0
    kinds = (None, *AuthenticationType)
    kind = kinds[flags % len(kinds)]
    settings = BfdSettings(
        50,
        50,
        is_passive=bool(flags & _TO_US),
        authentication=Authentication(kind, 1, _SECRET) if kind else None,
    )
    table = BfdTable(random.Random(1))
    table.on_wanted({_KEY: settings}, 0.0)
    detail = table.detail(_KEY, 0.0)
    assert detail is not None
    ours = detail.discriminator.to_bytes(4, "big")
    now, at = 0.0, 1
    for _ in range(STEPS_MAX):
        step = octets[at : at + 2]
        if len(step) < 2:
            break
        said = octets[at + 2 : at + 2 + step[1]]
        at += 2 + step[1]
        now = _run(table, now, now + (step[0] & ~_TO_US) / 100)
        heard = said[:8] + ours + said[12:] if step[0] & _TO_US else said
        effects = table.on_packet(Arrival("192.0.2.1", heard, 255, "", "eth0"), now)
        assert len(effects) <= EFFECTS_MAX
        table.validate()


def _run(table: BfdTable, now: float, until: float) -> float:
    for _ in range(DEADLINES_MAX):
        deadline = table.next_deadline()
        if deadline is None or deadline > until:
            break
        now = max(now, deadline)
        table.on_deadline(now)
        table.validate()
    return until


def _script(flags: int, *said: bytes) -> bytes:
    return bytes((flags,)) + b"".join(bytes((_TO_US | 2, len(each))) + each for each in said)


_SAID = tuple(
    Packet(state, 3, 7, 9, 1_000_000, 50_000, is_final=state is State.UP)
    for state in (State.DOWN, State.INIT, State.UP, State.ADMIN_DOWN)
)
PACKETS = tuple(map(packet.encode, _SAID))
SCRIPTS = (
    _script(0, *PACKETS),
    *(
        _script(number, *map(Signer(Authentication(kind, 1, _SECRET), 0).sign, _SAID))
        for number, kind in enumerate(AuthenticationType, start=1)
    ),
)

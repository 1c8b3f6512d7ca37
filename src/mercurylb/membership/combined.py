"""The membership that announcers run: SWIM says who is a member, the fast detector who is dead.

Both share one port; the first byte of a datagram tells whose it is. A member of ours says so in its
metadata (`OURS`, then its note) and is watched by the detector too, whose verdicts SWIM spreads to
MetalLB's speakers as well. Nothing is decided twice: whoever is found dead is dead as of an
incarnation, in SWIM's table as well as here, and comes back with a higher one.

The life of this node::

    idle ──ready──► learning ──► joining ──► up ──stop──► leaving ──► left
      ▲              who lives?   tell them   │
      └───────────not ready any more──────────┘

* **Idle**: nothing is sent; our own announcers are told, if they ask, that this process is new.
* **Learning**: the listed peers are asked for what they know, without telling them of us (for
  MetalLB that is a push/pull of nobody). So when this node becomes alive it knows exactly what it
  owns, answers for it first, and tells the others afterwards: make before break.
* **Up**, unless **isolated**: this process stood still for so long that it may have been replaced,
  or its link has no carrier, or everybody who is heard insists that we are dead. An isolated node
  owns nothing until somebody shows that we count as alive, or nobody is heard any more.
* **Leaving**: we go on answering until everybody of ours has acted on it.

What follows from a change for the addresses comes first in every list of effects, then what is sent.
"""

from __future__ import annotations

import collections
import enum
from typing import TYPE_CHECKING

from mercurylb.membership.fast.codec import MAGIC, Status
from mercurylb.membership.fast.detector import FastDetector
from mercurylb.membership.fast.effect import (
    Accused,
    Answer,
    FastEffect,
    Found,
    Greet,
    HearsUs,
    Proven,
    Reached,
    Stalled,
    Stranger,
)
from mercurylb.membership.fast.patience import FastTiming
from mercurylb.membership.learning import Learning
from mercurylb.membership.member import (
    NOTE_SIZE_MAX,
    DownReason,
    Exchange,
    Left,
    MemberDown,
    MemberHearsUs,
    MemberNote,
    MembershipEffect,
    MemberUp,
    MemberView,
    Peer,
    ProbeKernel,
    SendDatagram,
    StreamDecoder as Decoder,
)
from mercurylb.membership.swim.machine import (
    Swim,
    SwimChanged,
    SwimDown,
    SwimEffect,
    SwimLeft,
    SwimUp,
)
from mercurylb.membership.swim.message import State
from mercurylb.membership.swim.packet import PacketCodec
from mercurylb.membership.swim.stream import StreamDecoder

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mercurylb.membership.seal import Chance, Seal
    from mercurylb.membership.swim.config import SwimConfig
    from mercurylb.membership.swim.machine import SwimMember
    from mercurylb.membership.swim.message import Message

OURS = b"mlb1"
"""What the metadata of our own announcers begins with."""

GRACE_S = 1.0
"""How long a starting or isolated node waits for somebody to answer."""
LINGER_S = 1.0
FOREIGN_LINGER_S = 0.3
"""MetalLB's speakers do not say that they have acted; this is how long they are given."""
FOREIGN_ECHO_S = 0.5
REJOIN_MIN_S = 0.5
REJOIN_MAX_S = 10.0
JOINS_MAX = 8
"""Exchanges that one attempt to join opens at the same time."""
GREET_STRANGER_S = 0.5
STRANGERS_MAX = 256
DENIAL_S = 1.0
STORY_MAX = 64


class Phase(enum.Enum):
    """Where in its life this node is."""

    IDLE = "idle"
    LEARNING = "learning"
    JOINING = "joining"
    UP = "up"
    LEAVING = "leaving"
    LEFT = "left"


_JOINED = (Phase.JOINING, Phase.UP, Phase.LEAVING)


class CombinedMembership:
    """SWIM and the fast detector as one `Membership`."""

    def __init__(  # noqa: PLR0913 (what a node is, and what it is given from outside)
        self,
        node: str,
        address: str,
        port: int,
        *,
        secret: bytes,
        seal: Seal | None,
        config: SwimConfig,
        chance: Chance,
        timing: FastTiming | None = None,
        incarnation: int = 1,
    ) -> None:
        """Take the incarnation from a clock, in seconds: then a restart is believed at once."""
        self._node = node
        self._address = address
        self._port = port
        self._secret = secret
        self._config = config
        self._chance = chance
        self._timing = timing or FastTiming()
        self._codec = PacketCodec(
            seal,
            chance,
            is_compressed=config.enable_compression,
            verifies_incoming=config.gossip_verify_incoming,
            encrypts_outgoing=config.gossip_verify_outgoing,
        )
        self._incarnation = incarnation
        self._swim: Swim | None = None
        self._detector = self._make_detector()
        self._learning = Learning(self._codec, grace_s=GRACE_S)
        self._phase = Phase.IDLE
        self._peers: dict[str, str] | None = None
        self._is_ready = False
        self._note_text = b""
        self._has_carrier = True
        self._presumed: frozenset[str] = frozenset()
        self._joining: set[int] = set()
        self._proving: set[int] = set()
        self._phase_until = 0.0
        self._leave_from = 0.0
        self._has_swim_left = False
        self._found: dict[str, tuple[int, DownReason]] = {}
        self._told: dict[str, DownReason] = {}
        self._notes: dict[str, bytes] = {}
        self._foreign_echo_at: dict[str, float] = {}
        self._isolated_at: float | None = None
        self._ask_at: float | None = None
        self._denied_since: float | None = None
        self._rejoin_at: float | None = None
        self._rejoin_pause_s = REJOIN_MIN_S
        self._greeted: dict[str, float] = {}
        self._live: frozenset[str] = frozenset()
        self._is_stale = False
        self._due_at: float | None = None
        self._counted_until = 0.0
        self._counts: collections.Counter[str] = collections.Counter()
        self.story: collections.deque[tuple[float, str]] = collections.deque(maxlen=STORY_MAX)

"""Somebody else claims an address that this node announces: who, and what to do about it.

A *claim* is an ARP frame whose sender address is ours, or a neighbour advertisement (or a
solicitation's source) for it, from a MAC address that is none of the node's own. Who claims:

* a **member** of the cluster. Ownership follows from rankings, not from frames, so the better
  ranked of the two says once more that it is the owner and the other one says nothing: they never
  answer each other in turn, and a better one that has just come back is not shouted down before
  the word of its return arrives;
* a **stranger**. RFC 5227 §2.4 (c): an address that must not be given up is defended by one
  announcement, and not again within `DEFEND_INTERVAL_S`, however often it is claimed;
* **unknown**: a MAC address of no member, while there are members that do not tell theirs, as
  MetalLB's speakers. Defended against as a stranger, but only alarming once it persists.

A move between members lets both speak for a moment, so claims by members and unknown ones count as
a conflict only when they go on for `PERSISTENT_S`.

Everything is bounded against floods: the claims looked at per second, beyond which the kernel is
asked to deliver none for a while, the table of claimants, and what is told to people. Probes
(sender 0.0.0.0) claim nothing: they are answered, which is what makes the prober give way.
"""

from __future__ import annotations

import collections
import enum
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFEND_INTERVAL_S = 10.0
"""RFC 5227 §1.1."""
MEMBER_INTERVAL_S = 0.3
PERSISTENT_S = 2.0

CLAIMS_PER_S = 64
"""And at most as many at once."""
DEAF_S = 1.0
"""How long no claim is looked at after too many of them."""

CLAIMANTS_MAX = 256
DEFENCES_MAX = 1024
TOLD_MAX = 32
"""Conflicts told in one observation, the latest ones."""
REMEMBERED_S = 6 * 3600.0
TELL_INTERVAL_S = 60.0
"""Between two words about one claimant."""
TELLS_MAX = 10
"""Words about all claimants within `TELL_INTERVAL_S`."""


class Claimant(enum.Enum):
    """Whose MAC address a claim carries."""

    MEMBER = "member"
    UNKNOWN = "unknown"
    STRANGER = "stranger"


EPISODE_S = {Claimant.MEMBER: 30.0, Claimant.UNKNOWN: 300.0, Claimant.STRANGER: 300.0}
"""Claims with a longer silence between them are not one that goes on. A host that uses an address
of ours as its own may ask for its gateway every few minutes only."""


class Claim(msgspec.Struct, frozen=True):
    """One frame by which somebody else speaks for an announced address."""

    interface: str
    address: str
    mac: bytes


class Conflict(msgspec.Struct, frozen=True):
    """Somebody else claims an address, as people are told."""

    address: str
    interface: str
    mac: str
    """Lower case with colons."""
    node: str
    """The member that has this MAC address; empty for anybody else."""
    count: int
    age_s: float
    """Since the latest claim."""
    defended: int = 0


class Verdict(msgspec.Struct, frozen=True):
    """What to do about a claim."""

    claimant: Claimant
    is_defended: bool
    """Announce the address once."""
    told: Conflict | None
    """What people should hear of now."""


class _Record:
    __slots__ = ("claim", "count", "defended", "first_at", "last_at", "told_at")

    def __init__(self, claim: Claim, now: float) -> None:
        self.claim = claim
        self.count = 0
        self.defended = 0
        self.first_at = now
        self.last_at = now
        self.told_at = float("-inf")


class ConflictWatch:
    """Remember who claims what, and judge each claim."""

    def __init__(self) -> None:
        self._members: dict[bytes, str] = {}
        self._has_unknown_members = False
        self._records: collections.OrderedDict[Claim, _Record] = collections.OrderedDict()
        self._defended_at: collections.OrderedDict[tuple[str, str], float] = (
            collections.OrderedDict()
        )
        self._tells: collections.deque[float] = collections.deque(maxlen=TELLS_MAX)
        self._tokens = float(CLAIMS_PER_S)
        self._counted_at = float("-inf")
        self._deaf_until: float | None = None

    def on_members(self, macs: Mapping[bytes, str], *, has_unknown: bool) -> None:
        """Take over whose MAC addresses are known, and whether all members told theirs.

        Who joins hears from then on who owns what: what it claimed before that is over.
        """
        joined = macs.keys() - self._members.keys()
        for claim in [claim for claim in self._records if claim.mac in joined]:
            del self._records[claim]
        self._members = dict(macs)
        self._has_unknown_members = has_unknown

    # --- how many are looked at --------------------------------------------------------------

    @property
    def is_deaf(self) -> bool:
        """Return whether claims are not to be looked at now."""
        return self._deaf_until is not None

    def admit(self, now: float) -> bool:
        """Count a frame that wants to be looked at; False, and deafness, when they are too many."""
        if now > self._counted_at:
            gained = (now - self._counted_at) * CLAIMS_PER_S
            self._tokens = min(float(CLAIMS_PER_S), self._tokens + gained)
            self._counted_at = now
        if self._tokens < 1:
            self._deaf_until = now + DEAF_S
            return False
        self._tokens -= 1
        return True

    def next_deadline(self) -> float | None:
        """Return when deafness ends."""
        return self._deaf_until

    def on_deadline(self, now: float) -> bool:
        """Return whether deafness ended."""
        if self._deaf_until is None or now < self._deaf_until:
            return False
        self._deaf_until = None
        return True

    # --- judging -----------------------------------------------------------------------------

    def member_of(self, mac: bytes) -> str:
        """Return the node that has a MAC address, or nothing."""
        return self._members.get(mac, "")

    def judge(self, claim: Claim, now: float, *, yields: bool) -> Verdict:
        """Remember a claim and decide what to do; `yields` if its member is the better ranked."""
        claimant = self._claimant(claim.mac)
        record = self._record(claim, claimant, now)
        is_defended = self._may_defend(claim, claimant, now, yields=yields)
        record.defended += is_defended
        told = None
        if self._is_conflict(record) and self._may_tell(record, now):
            told = self._describe(record, now)
        return Verdict(claimant, is_defended, told)

    def conflicts(self, now: float) -> tuple[Conflict, ...]:
        """Return the conflicts of the last hours, the latest claim first, at most `TOLD_MAX`."""
        found: list[Conflict] = []
        for record in reversed(self._records.values()):
            if len(found) == TOLD_MAX or now - record.last_at > REMEMBERED_S:
                break
            if self._is_conflict(record):
                found.append(self._describe(record, now))
        return tuple(found)

    def _claimant(self, mac: bytes) -> Claimant:
        if mac in self._members:
            return Claimant.MEMBER
        return Claimant.UNKNOWN if self._has_unknown_members else Claimant.STRANGER

    def _record(self, claim: Claim, claimant: Claimant, now: float) -> _Record:
        record = self._records.get(claim)
        if record is None:
            if len(self._records) >= CLAIMANTS_MAX:
                self._records.popitem(last=False)
            record = self._records[claim] = _Record(claim, now)
        self._records.move_to_end(claim)
        if now - record.last_at > EPISODE_S[claimant]:
            record.first_at = now
        record.last_at = now
        record.count += 1
        return record

    def _may_defend(self, claim: Claim, claimant: Claimant, now: float, *, yields: bool) -> bool:
        is_member = claimant is Claimant.MEMBER
        if is_member and yields:
            return False
        key = claim.interface, claim.address
        interval_s = MEMBER_INTERVAL_S if is_member else DEFEND_INTERVAL_S
        if now - self._defended_at.get(key, float("-inf")) < interval_s:
            return False
        self._defended_at[key] = now
        self._defended_at.move_to_end(key)
        if len(self._defended_at) > DEFENCES_MAX:
            self._defended_at.popitem(last=False)
        return True

    def _is_conflict(self, record: _Record) -> bool:
        is_stranger = self._claimant(record.claim.mac) is Claimant.STRANGER
        return is_stranger or record.last_at - record.first_at >= PERSISTENT_S

    def _may_tell(self, record: _Record, now: float) -> bool:
        if now - record.told_at < TELL_INTERVAL_S:
            return False
        if len(self._tells) == TELLS_MAX and now - self._tells[0] < TELL_INTERVAL_S:
            return False
        self._tells.append(now)
        record.told_at = now
        return True

    def _describe(self, record: _Record, now: float) -> Conflict:
        return Conflict(
            address=record.claim.address,
            interface=record.claim.interface,
            mac=record.claim.mac.hex(":"),
            node=self.member_of(record.claim.mac),
            count=record.count,
            age_s=now - record.last_at,
            defended=record.defended,
        )

    def validate(self) -> None:
        """Assert the bounds."""
        assert len(self._records) <= CLAIMANTS_MAX
        assert len(self._defended_at) <= DEFENCES_MAX
        assert 0 <= self._tokens <= CLAIMS_PER_S
        times = [record.last_at for record in self._records.values()]
        assert times == sorted(times)

"""Who of several processes acts: the election by a Lease (coordination.k8s.io), as a machine.

Pure: it is told what the API server said and when, and says what to ask next; `elector` does the
talking. Times are monotonic seconds of this process. The object's own times are written for people
and for other programs, and never compared: clocks of two nodes need not agree.

The rules are those of client-go's leader election, so that either kind can hold or follow a lease:

* A lease that is given back (no holder, a duration of 1 s), that does not exist or names ourselves
  when we first look, is ours to take.
* Another holder's lease may be taken when its record did not change for `leaseDurationSeconds`,
  counted from when *we* saw it change.
* Whoever holds may act for `renew_deadline_s` after he *sent* the last renewal that was accepted,
  which is shorter than what the others wait. So two never may act at the same time, as long as
  their clocks run at about the same speed.
* A lease that somebody deleted, emptied or rewrote by hand is no different from one that another
  holds: its holder may not know yet. Only the holder itself need not wait.
* Every write names the version it is based on; of two candidates one is refused.
* Giving the lease back clears the holder, so that another takes it at once.

One thing is added: **a lease that nobody else wants rests.** A holder that is alone and has had
nothing to write for a while stops renewing; then it may not write either, and renews first when
it wants to. A stand-by makes itself known by an annotation on the Lease (and again every now and
then); a holder that sees it renews for as long as the stand-by is there. A stand-by that was not
answered for the whole duration after it made itself known takes over::

      STAND_BY --accepted: create, acquire--> LEADER --deleted, other holder, other term--> STAND_BY

What it does not do: decide what a leader does, or wait.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from mercurylb.api.meta import ObjectMeta, OwnerReference
from mercurylb.kube.resource import Resource

if TYPE_CHECKING:
    from random import Random

STAND_BY_ANNOTATION: Final = "mercurylb.io/stand-by"
RELEASED_DURATION_S: Final = 1
"""What client-go and we write when the lease is given back."""
DURATION_MAX_S: Final = 60.0
"""A holder that claims more is not believed: a mistyped number must not stop a cluster."""
DENIED_TRIES: Final = 60
"""Refusals in a row that may come from a server that is not ready yet."""


class LeaseSpec(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """The record of an election."""

    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    acquire_time: str | None = None
    renew_time: str | None = None
    lease_transitions: int | None = None


class Lease(msgspec.Struct, frozen=True):
    """A Lease, as far as an election needs it."""

    metadata: ObjectMeta = ObjectMeta()
    spec: LeaseSpec = LeaseSpec()

    @property
    def holder(self) -> str:
        """Give who holds it; empty when nobody does."""
        return self.spec.holder_identity or ""

    @property
    def term(self) -> tuple[str, int]:
        """Give what stays the same for as long as one process holds it."""
        return self.spec.acquire_time or "", self.spec.lease_transitions or 0

    @property
    def stand_by(self) -> str:
        """Give the last word of whoever waits for it."""
        return (self.metadata.annotations or {}).get(STAND_BY_ANNOTATION, "")


LEASES: Final = Resource("coordination.k8s.io", "v1", "leases", "Lease", Lease)


class ElectionConfig(msgspec.Struct, frozen=True):
    """How an election is run; the defaults are argued in docs/adr/0008."""

    identity: str
    duration_s: float = 6.0
    """Others may take over this long after they saw the last renewal."""
    renew_deadline_s: float = 4.0
    """A holder may act this long after it sent the last renewal that was accepted."""
    renew_interval_s: float = 2.0
    retry_max_s: float = 0.5
    denied_retry_s: float = 5.0
    rest_after_s: float = 10.0
    """A holder that is alone stops renewing this long after it last wanted to write."""
    announce_interval_s: float = 20.0
    stand_by_memory_s: float = 60.0
    """A stand-by that was not heard of for so long is gone."""
    owner: OwnerReference | None = None
    """What the lease goes with, when it is made by us."""


class Role(enum.Enum):
    """What we are."""

    STAND_BY = "stand-by"
    LEADER = "leader"


class Read(msgspec.Struct, frozen=True):
    """Read the lease."""


class Create(msgspec.Struct, frozen=True):
    """Make the lease, held by us."""


class Acquire(msgspec.Struct, frozen=True):
    """Become the holder of the lease that has this version."""

    resource_version: str
    transitions: int


class Renew(msgspec.Struct, frozen=True):
    """Say that we still hold it."""

    resource_version: str


class Announce(msgspec.Struct, frozen=True):
    """Let the holder know that somebody waits."""


Request: TypeAlias = Read | Create | Acquire | Renew | Announce


class Promoted(msgspec.Struct, frozen=True):
    """We are the leader now."""


class Demoted(msgspec.Struct, frozen=True):
    """We are not the leader any more."""

    reason: str


Effect: TypeAlias = Promoted | Demoted
_NEVER: Final = float("inf")


class Election:
    """One candidate's view of one lease."""

    def __init__(self, config: ElectionConfig, *, random: Random, now: float) -> None:
        self.role = Role.STAND_BY
        self.may_act_until = 0.0
        """Until when the leader may write; long ago while the lease rests."""
        self._config = config
        self._random = random
        self._lease: Lease | None = None
        self._must_read = True
        self._seen_at = now
        """When the record last changed before our eyes."""
        self._sent_at = now
        self._in_flight: Request | None = None
        self._renewed_at = -_NEVER
        self._wanted_at = -_NEVER
        self._stand_by_seen_at = -_NEVER
        self._announced_at = -_NEVER
        self._announced_first_at = _NEVER
        """Of the present holder's term: from when on it could know of us."""
        self._retry_at = now
        self._failure_count = 0
        self._denied_count = 0
        self._is_over = False
        self._has_looked = False
        self._is_free = False
        """Whether the lease, as it is now, may be taken without waiting."""
        self._may_have_acquired = False
        """Whether an answer was lost that may have made us the holder."""

    @property
    def holder(self) -> str:
        """Give the holder as far as we know."""
        return self._lease.holder if self._lease else ""

    @property
    def version(self) -> str:
        """Give the version of the lease as far as we know."""
        return self._lease.metadata.resource_version if self._lease else ""

    @property
    def has_announced(self) -> bool:
        """Tell whether the word that stands in the lease is ours."""
        words = self._lease.stand_by.split() if self._lease else []
        return words[:1] == [self._config.identity]

    def is_resting(self, now: float) -> bool:
        """Tell whether we hold the lease without keeping it fresh."""
        return self.role is Role.LEADER and not self._is_kept_fresh(now)

    # --- what to ask ---------------------------------------------------------------------------

    def next_request(self, now: float) -> Request | None:
        """Give what to ask the API server now; whoever takes it tells the answer."""
        if self._is_over or self._in_flight is not None or now < self._retry_at:
            return None
        request, due = self._plan(now)
        if request is None or now < due:
            return None
        self._in_flight = request
        self._sent_at = now
        return request

    def next_deadline(self, now: float) -> float | None:
        """Give when `next_request` will have something to ask, if nothing happens before."""
        if self._is_over or self._in_flight is not None:
            return None
        due = max(self._plan(now)[1], self._retry_at)
        return None if due == _NEVER else due

    def _plan(self, now: float) -> tuple[Request | None, float]:
        if self._must_read:
            return Read(), -_NEVER
        if self.role is Role.STAND_BY:
            return self._plan_to_lead()
        if not self._is_kept_fresh(now):
            return None, _NEVER
        return Renew(self.version), self._renewed_at + self._config.renew_interval_s

    def _plan_to_lead(self) -> tuple[Request, float]:
        lease = self._lease
        if lease is None:
            waits_until = self._seen_at + self._config.duration_s
            return Create(), -_NEVER if self._is_free else waits_until
        acquire = Acquire(self.version, (lease.spec.lease_transitions or 0) + 1)
        if self._is_free:
            return acquire, -_NEVER
        announce_at = self._announced_at + self._config.announce_interval_s
        expires_at = max(self._seen_at, self._announced_first_at) + self._duration_s(lease)
        return (Announce(), announce_at) if announce_at < expires_at else (acquire, expires_at)

    def _is_kept_fresh(self, now: float) -> bool:
        config = self._config
        return (
            now < self._wanted_at + config.rest_after_s
            or now < self._stand_by_seen_at + config.stand_by_memory_s
        )

    def _duration_s(self, lease: Lease) -> float:
        claimed = float(lease.spec.lease_duration_seconds or 0)
        return min(max(claimed, self._config.duration_s), DURATION_MAX_S)

    # --- what happened -------------------------------------------------------------------------

    def on_wish(self, now: float) -> None:
        """Take that the leader wants to write."""
        self._wanted_at = now

    def on_observed(self, lease: Lease | None, now: float) -> list[Effect]:
        """Take the lease as a watch or a read shows it; None: there is none."""
        if lease is not None and self._is_older(lease):
            return []
        before, self._lease = self._lease, lease
        if _record(before) != _record(lease) or not self._has_looked:
            self._seen_at = now
            self._is_free = self._may_be_taken(lease, now)
        self._has_looked = True
        if lease is not None and (before is None or before.term != lease.term):
            # A new term: its holder has not heard of us.
            self._announced_at, self._announced_first_at = -_NEVER, _NEVER
        elif lease is not None and not lease.stand_by:
            # Another stand-by took its word back, and the holder may rest now.
            self._announced_at = -_NEVER
        if self.role is Role.LEADER:
            return self._look_after(before, lease, now)
        return []

    def _may_be_taken(self, lease: Lease | None, now: float) -> bool:
        """Tell whether nobody else can believe that he holds a lease that looks so now."""
        if lease is not None and lease.holder:
            is_known_to_be_ours = not self._has_looked or self._may_have_acquired
            return lease.holder == self._config.identity and is_known_to_be_ours
        # Later somebody else may have acquired it before it was emptied.
        was_ours = self.role is Role.LEADER and now < self.may_act_until
        is_released = lease is not None and lease.spec.lease_duration_seconds == RELEASED_DURATION_S
        return is_released or was_ours or not self._has_looked

    def on_answer(self, lease: Lease, now: float) -> list[Effect]:
        """Take that the request was accepted, and what the lease is since then."""
        request = self._end_request()
        self._failure_count = self._denied_count = 0
        self._must_read = False
        effects = self.on_observed(lease, now)
        # A watch may have shown a later version already; what counts is that the term goes on.
        known = self._lease
        is_ours = (
            known is not None and known.holder == self._config.identity and known.term == lease.term
        )
        if isinstance(request, Read):
            self._may_have_acquired = False
        elif isinstance(request, Announce):
            self._announced_at = now
            self._announced_first_at = min(self._announced_first_at, now)
        elif isinstance(request, Renew) and is_ours and self.role is Role.LEADER:
            self._note_renewed()
        elif isinstance(request, (Create, Acquire)) and is_ours:
            self.role = Role.LEADER
            self._may_have_acquired = False
            self._stand_by_seen_at = -_NEVER
            self._wanted_at = now
            self._note_renewed()
            effects.append(Promoted())
        return effects

    def on_missing(self, now: float) -> list[Effect]:
        """Take that there is no such lease."""
        self._end_request()
        self._failure_count = self._denied_count = 0
        self._must_read = self._may_have_acquired = False
        return self.on_observed(None, now)

    def on_conflict(self) -> None:
        """Take that somebody else wrote first; what he wrote has to be read."""
        self._end_request()
        self._must_read = True

    def on_failure(self, now: float, *, is_denied: bool = False) -> None:
        """Take that nothing came of the request; whether it was carried out is not known."""
        request = self._end_request()
        self._must_read = True
        self._may_have_acquired |= isinstance(request, (Create, Acquire))
        self._failure_count = min(self._failure_count + 1, 16)
        config = self._config
        ceiling_s = min(config.retry_max_s, 0.05 * 2.0**self._failure_count)
        # A server that is just starting refuses for a moment what it allows later.
        self._denied_count = self._denied_count + 1 if is_denied else 0
        wait_s = config.denied_retry_s if self._denied_count > DENIED_TRIES else ceiling_s
        self._retry_at = now + wait_s * self._random.uniform(0.5, 1.0)

    def on_released(self) -> None:
        """Take that the program ends: nothing may be written any more."""
        self._is_over = True
        self.role = Role.STAND_BY
        self.may_act_until = 0.0

    def _end_request(self) -> Request | None:
        request, self._in_flight = self._in_flight, None
        return request

    def _note_renewed(self) -> None:
        self._renewed_at = self._sent_at
        self.may_act_until = self._sent_at + self._config.renew_deadline_s

    def _look_after(self, before: Lease | None, lease: Lease | None, now: float) -> list[Effect]:
        """Notice that the lease is lost, or that somebody waits for it."""
        own = self._config.identity
        if lease is None:
            return self._demote("the lease was deleted")
        if lease.holder != own:
            return self._demote(f"the lease is held by {lease.holder or 'nobody'}")
        if before is None or before.term != lease.term:
            return self._demote("the lease was written by somebody else in our name")
        if lease.stand_by != before.stand_by:
            self._stand_by_seen_at = now if lease.stand_by else -_NEVER
        return []

    def _demote(self, reason: str) -> list[Effect]:
        self.role = Role.STAND_BY
        self.may_act_until = 0.0
        return [Demoted(reason)]

    def _is_older(self, lease: Lease) -> bool:
        """Tell whether this is the past: a watch may lag behind the answers of writes."""
        known = self._lease
        if known is None or known.metadata.uid != lease.metadata.uid:
            return False
        ours, theirs = known.metadata.resource_version, _version(lease)
        return ours.isdecimal() and theirs.isdecimal() and int(theirs) < int(ours)


def _record(lease: Lease | None) -> LeaseSpec | None:
    return lease.spec if lease else None


def _version(lease: Lease) -> str:
    return lease.metadata.resource_version

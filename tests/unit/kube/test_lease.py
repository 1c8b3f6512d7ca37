"""The election: who asks what and when, and who may act, in all that can happen to a Lease."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest

from mercurylb.kube.lease import (
    STAND_BY_ANNOTATION,
    Acquire,
    Announce,
    Create,
    Demoted,
    Effect,
    Election,
    ElectionConfig,
    Lease,
    Promoted,
    Read,
    Renew,
    Request,
    Role,
)

CONFIG = ElectionConfig(identity="a")


def lease(holder: str = "a", *, version: int = 1, transitions: int = 0, **spec: Any) -> Lease:
    """Make a lease as the API server would show it."""
    stand_by = spec.pop("stand_by", "")
    metadata: dict[str, Any] = {"name": "l", "uid": "u", "resourceVersion": str(version)}
    if stand_by:
        metadata["annotations"] = {STAND_BY_ANNOTATION: stand_by}
    body = {
        "holderIdentity": holder,
        "leaseDurationSeconds": 6,
        "acquireTime": "2026-01-01T00:00:00.000000Z",
        "renewTime": f"2026-01-01T00:00:00.{version:06d}Z",
        "leaseTransitions": transitions,
        **spec,
    }
    return msgspec.convert({"metadata": metadata, "spec": body}, Lease)


def candidate(found: Lease | None, now: float = 0.0) -> Election:
    """Make a candidate that has read the lease."""
    made = Election(CONFIG, random=random.Random(1), now=now)
    assert made.next_request(now) == Read()
    if found is None:
        made.on_missing(now)
    else:
        made.on_answer(found, now)
    return made


def leader(now: float = 0.0) -> Election:
    """Make a leader, elected at a time, with version 2 of the lease."""
    made = candidate(None, now)
    assert made.next_request(now) == Create()
    assert made.on_answer(lease(version=2), now) == [Promoted()]
    return made


@pytest.mark.parametrize(
    ("found", "request_"),
    [
        pytest.param(None, Create(), id="none"),
        pytest.param(lease("", version=7, transitions=3), Acquire("7", 4), id="released"),
        pytest.param(lease("a", version=7), Acquire("7", 1), id="own, from an earlier life"),
        pytest.param(lease("b", version=7), Announce(), id="held by another"),
        pytest.param(msgspec.convert({"metadata": {}}, Lease), Acquire("", 1), id="empty"),
    ],
)
def test_what_is_asked_first(found: Lease | None, request_: Request) -> None:
    """A lease that is free, or that is ours, is taken at once; otherwise the holder is told."""
    assert candidate(found).next_request(0.0) == request_


def test_a_stand_by_waits_the_whole_duration_from_its_own_announcement() -> None:
    """The record may be old already: a holder that rests must have time to answer."""
    made = candidate(lease("b", version=7, renewTime="then"), 0.0)
    assert made.next_request(100.0) == Announce()
    made.on_answer(lease("b", version=8, stand_by="a 1", renewTime="then"), 100.5)
    assert made.next_request(106.4) is None
    assert made.next_request(106.5) == Acquire("8", 1)


def test_a_renewal_starts_the_wait_again() -> None:
    """What counts is when the record changed before our eyes, whatever time it names."""
    made = candidate(lease("b", version=1), 0.0)
    assert made.next_request(0.0) == Announce()
    made.on_answer(lease("b", version=2, stand_by="a 1"), 0.1)
    shown = lease("b", version=3, stand_by="a 1", renewTime="1999-01-01T00:00:00.000000Z")
    made.on_observed(shown, 5.0)
    assert made.next_request(10.9) is None
    assert made.next_deadline(10.9) == pytest.approx(11.0)
    assert made.next_request(11.0) == Acquire("3", 1)


def test_who_comes_too_late_reads_and_waits_again() -> None:
    """A refused takeover means that somebody else was there: the holder, or another stand-by."""
    made = candidate(lease("b", version=1), 0.0)
    made.next_request(0.0)
    made.on_answer(lease("b", version=1), 0.0)
    assert isinstance(made.next_request(6.0), Acquire)
    made.on_conflict()
    assert made.next_request(6.0) == Read()
    made.on_answer(lease("c", version=9, transitions=1), 6.0)
    assert made.next_request(6.0) == Announce()
    assert made.role is Role.STAND_BY


def test_a_leader_may_act_from_when_it_asked() -> None:
    """The answer's way does not count: the others wait from when they saw the record."""
    made = candidate(None, 0.0)
    made.next_request(10.0)
    made.on_answer(lease(version=1), 11.5)
    assert made.may_act_until == 14.0
    assert made.may_act_until < 10.0 + CONFIG.duration_s


def test_a_leader_renews_while_it_works_and_rests_after() -> None:
    """Ten seconds after the last wish nothing is written any more; a wish renews at once."""
    made = leader(0.0)
    asked = []
    now = 0.0
    while (deadline := made.next_deadline(now)) is not None:
        now = max(now, deadline)
        if made.next_request(now):
            asked.append(now)
            made.on_answer(lease(version=2 + len(asked)), now)
    assert asked == [2.0, 4.0, 6.0, 8.0]
    assert made.is_resting(60.0)
    assert made.role is Role.LEADER
    assert made.may_act_until < 60.0
    made.on_wish(60.0)
    assert made.next_request(60.0) == Renew("6")


def test_a_stand_by_keeps_a_leader_from_resting() -> None:
    """Whoever makes himself known is answered at once, and for as long as he is heard of."""
    made = leader(0.0)
    assert made.is_resting(1000.0)
    made.on_observed(lease(version=3, stand_by="b 1"), 1000.0)
    assert isinstance(made.next_request(1000.0), Renew)
    made.on_answer(lease(version=4, stand_by="b 1"), 1000.0)
    assert made.next_deadline(1000.0) == 1002.0
    assert made.is_resting(1060.0)
    made.on_observed(lease(version=5, stand_by="b 2"), 1059.0)
    assert not made.is_resting(1060.0)
    made.on_observed(lease(version=6), 1060.0)
    assert made.is_resting(1060.0)


def test_a_stand_by_announces_itself_again_when_another_one_leaves() -> None:
    """The word in the lease may have been taken back by who wrote it last."""
    made = candidate(lease("b", version=1), 0.0)
    made.next_request(0.0)
    made.on_answer(lease("b", version=2, stand_by="a 1"), 0.0)
    made.on_observed(lease("b", version=3, stand_by="c 1"), 1.0)
    assert made.next_request(1.0) is None
    made.on_observed(lease("b", version=4), 2.0)
    assert made.next_request(2.0) == Announce()


@pytest.mark.parametrize(
    "shown",
    [
        pytest.param(None, id="deleted"),
        pytest.param(lease("b", version=9), id="held by another"),
        pytest.param(lease("", version=9), id="emptied"),
        pytest.param(lease("a", version=9, transitions=1), id="another term in our name"),
        pytest.param(lease("\x00" * 300, version=9), id="garbage"),
    ],
)
def test_a_lost_lease_ends_the_term_at_once(shown: Lease | None) -> None:
    """Whatever somebody does to the lease, its holder stops before it looks further."""
    made = leader(0.0)
    assert made.may_act_until > 1.0
    effects = made.on_observed(shown, 1.0)
    assert [type(effect) for effect in effects] == [Demoted]
    assert made.role is Role.STAND_BY
    assert made.may_act_until == 0.0


def test_a_deleted_lease_is_made_again() -> None:
    """The former holder is a candidate like any other, in a new term."""
    made = leader(0.0)
    made.on_observed(None, 1.0)
    assert made.next_request(1.0) == Create()
    assert made.on_answer(lease(version=12), 1.0) == [Promoted()]


def test_a_failed_renewal_is_tried_again_until_it_is_too_late() -> None:
    """Without answers the right to act ends by itself, and the term does not: it may be renewed."""
    made = leader(0.0)
    now, tries = 2.0, 0
    while now < 30.0:
        made.on_wish(now)
        if made.next_request(now) is not None:
            tries += 1
            made.on_failure(now)
        now += 0.05
    assert made.may_act_until == 4.0
    assert made.role is Role.LEADER
    assert 28 / CONFIG.retry_max_s <= tries <= 4 * 28 / CONFIG.retry_max_s
    while made.next_request(now) != Read():
        now += 0.05
    made.on_answer(lease(version=2), now)
    assert made.next_request(now) == Renew("2")
    made.on_answer(lease(version=3), now)
    assert made.may_act_until == now + 4.0


def test_a_takeover_during_an_outage_is_seen_before_anything_else() -> None:
    """Who was away reads first, and finds that he is not the holder any more."""
    made = leader(0.0)
    made.next_request(2.0)
    made.on_failure(2.0)
    made.on_wish(40.0)
    assert made.next_request(40.0) == Read()
    effects = made.on_answer(lease("b", version=9, transitions=1), 40.0)
    assert [type(effect) for effect in effects] == [Demoted]


@pytest.mark.parametrize("claimed", [None, 0, -5, 1, 10**9])
def test_an_odd_duration_is_bounded(claimed: int | None) -> None:
    """Less than ours counts as ours; a claim of years is not believed."""
    made = candidate(lease("b", version=1, stand_by="a 1", leaseDurationSeconds=claimed), 0.0)
    made.next_request(0.0)
    made.on_answer(lease("b", version=1, stand_by="a 1", leaseDurationSeconds=claimed), 0.0)
    now = 0.0
    while not isinstance(request := made.next_request(now), Acquire):
        if request is not None:
            made.on_answer(lease("b", version=1, stand_by="a 1", leaseDurationSeconds=claimed), now)
        deadline = made.next_deadline(now)
        assert deadline is not None
        now = max(now, deadline)
    assert now in {6.0, 60.0}


def test_a_late_watch_does_not_undo_an_answer() -> None:
    """An older version that the watch shows after the answer of a write is not believed."""
    made = candidate(lease("b", version=1), 0.0)
    made.next_request(0.0)
    made.on_answer(lease("b", version=1), 0.0)
    made.next_request(6.0)
    assert made.on_answer(lease("a", version=5, transitions=1), 6.0) == [Promoted()]
    assert made.on_observed(lease("b", version=1), 6.0) == []
    assert made.role is Role.LEADER


def test_a_renewal_counts_though_the_watch_was_faster() -> None:
    """A stand-by's announcement may arrive before the answer to the renewal it followed."""
    made = leader(0.0)
    made.next_request(2.0)
    made.on_observed(lease(version=4, stand_by="b 1"), 2.1)
    made.on_answer(lease(version=3), 2.2)
    assert made.may_act_until == 6.0


def test_nothing_is_asked_after_the_release() -> None:
    """A program that ends does not take back what it just gave away."""
    made = leader(0.0)
    made.on_released()
    made.on_observed(lease("", version=9), 1.0)
    assert made.next_request(1.0) is None
    assert made.next_deadline(1.0) is None
    assert made.may_act_until == 0.0


def test_one_request_at_a_time() -> None:
    """While an answer is awaited nothing else is asked."""
    made = candidate(None, 0.0)
    assert made.next_request(0.0) == Create()
    assert made.next_request(0.0) is None
    assert made.next_deadline(0.0) is None


def test_missing_rights_are_asked_for_ever_more_slowly() -> None:
    """A starting server refuses for a moment; one that goes on refusing is asked seldom."""
    made = Election(CONFIG, random=random.Random(1), now=0.0)
    now, tries = 0.0, []
    while now < 120.0:
        if made.next_request(now) is not None:
            tries.append(now)
            made.on_failure(now, is_denied=True)
        now += 0.01
    assert sum(at < 10.0 for at in tries) > 15
    assert sum(at > 60.0 for at in tries) < 30


# --- a whole election, with everything that can go wrong -----------------------------------------


class Server:
    """The API server's part: one object with versions."""

    def __init__(self) -> None:
        self.lease: Lease | None = None
        self.version = 0

    def put(self, found: Lease | None) -> Lease | None:
        """Store a lease under a new version."""
        self.version += 1
        if found is not None:
            metadata = msgspec.structs.replace(
                found.metadata, resource_version=str(self.version), uid="u"
            )
            found = msgspec.structs.replace(found, metadata=metadata)
        self.lease = found
        return found

    def answer(  # noqa: PLR0911 (one per kind of request and outcome)
        self, request: Request, who: str, now: float
    ) -> Lease | str:
        """Carry out a request; give the lease, or why not."""
        found = self.lease
        text = f"{now:.6f}"
        if isinstance(request, Create):
            if found is not None:
                return "conflict"
            made = lease(who, acquireTime=text, renewTime=text, transitions=self.version)
            return self.put(made) or "missing"
        if found is None:
            return "missing"
        if isinstance(request, Read):
            return found
        if isinstance(request, Announce):
            metadata = msgspec.structs.replace(
                found.metadata, annotations={STAND_BY_ANNOTATION: f"{who} {now}"}
            )
            return self.put(msgspec.structs.replace(found, metadata=metadata)) or "missing"
        if request.resource_version != found.metadata.resource_version:
            return "conflict"
        if isinstance(request, Acquire):
            made = lease(who, acquireTime=text, renewTime=text, transitions=request.transitions)
            return self.put(made) or "missing"
        spec = msgspec.structs.replace(found.spec, renew_time=text)
        return self.put(msgspec.structs.replace(found, spec=spec)) or "missing"


class Candidate:
    """A program that takes part: its machine, its clock, and what happens to it."""

    def __init__(self, name: str, dice: random.Random) -> None:
        self.name = name
        self.rate = dice.uniform(0.95, 1.05)
        self.offset = dice.uniform(0.0, 1e6)
        config = ElectionConfig(identity=name)
        self.machine = Election(config, random=dice, now=self.clock(0.0))
        self.paused_until = 0.0
        self.cut_until = 0.0
        self.pending: list[tuple[float, Request, Lease | str]] = []
        self.terms = 0
        self.acted = 0

    def clock(self, now: float) -> float:
        """Give the candidate's own time."""
        return self.offset + now * self.rate

    def may_act(self, now: float) -> bool:
        """Tell whether the fence is open."""
        machine = self.machine
        return machine.role is Role.LEADER and self.clock(now) < machine.may_act_until

    def note(self, effects: list[Effect]) -> None:
        """Count the terms."""
        self.terms += sum(isinstance(effect, Promoted) for effect in effects)


STEP_S = 0.05


@pytest.mark.parametrize("seed", range(20))
def test_never_two_may_act_and_always_one_will(seed: int) -> None:
    """Three candidates with odd clocks, pauses, cuts, lost answers, and a hand in the object."""
    dice = random.Random(seed)
    server = Server()
    candidates = [Candidate(name, dice) for name in "abc"]
    idle_s, now, quiet_at = 0.0, 0.0, 240.0
    while now < 300.0:
        now += STEP_S
        if now < quiet_at:
            _disturb(server, candidates, dice, now)
        for each in candidates:
            if now >= each.paused_until:
                _live(each, server, dice, now)
        acting = [each for each in candidates if each.may_act(now)]
        assert len(acting) <= 1, [each.name for each in acting]
        idle_s = 0.0 if acting else idle_s + STEP_S
        assert idle_s < 60.0
        for each in acting:
            each.acted += 1
    assert idle_s < 10.0
    assert sum(each.terms for each in candidates) > 1


def _disturb(server: Server, candidates: list[Candidate], dice: random.Random, now: float) -> None:
    each = dice.choice(candidates)
    chance = dice.random()
    if chance < 0.002:
        each.paused_until = now + dice.uniform(0.1, 20.0)
    elif chance < 0.004:
        each.cut_until = now + dice.uniform(0.1, 20.0)
    elif chance < 0.0045:
        server.put(None)
    elif chance < 0.005 and server.lease is not None:
        server.put(lease(dice.choice(["", "x", "a", "b"]), transitions=dice.randrange(9)))


def _live(each: Candidate, server: Server, dice: random.Random, now: float) -> None:
    """Take what arrived, look at the watch now and then, and ask."""
    machine, clock = each.machine, each.clock(now)
    is_cut = now < each.cut_until
    for item in [entry for entry in each.pending if entry[0] <= now]:
        each.pending.remove(item)
        _deliver(each, item[2], clock, is_lost=is_cut or dice.random() < 0.02)
    if not is_cut and not each.pending and dice.random() < 0.3:
        each.note(machine.on_observed(server.lease, clock))
    if dice.random() < 0.2:
        machine.on_wish(clock)
    request = machine.next_request(clock)
    if request is None:
        return
    reached = not is_cut and dice.random() > 0.02
    answer = server.answer(request, each.name, now) if reached else "lost"
    each.pending.append((now + dice.choice([0.0, 0.05, 0.3, 1.9]), request, answer))


def _deliver(each: Candidate, answer: Lease | str, clock: float, *, is_lost: bool) -> None:
    machine = each.machine
    if is_lost or answer == "lost":
        machine.on_failure(clock)
    elif answer == "missing":
        each.note(machine.on_missing(clock))
    elif answer == "conflict":
        machine.on_conflict()
    elif isinstance(answer, Lease):
        each.note(machine.on_answer(answer, clock))

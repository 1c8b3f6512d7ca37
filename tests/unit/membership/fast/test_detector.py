"""The fast failure detector of node a, beside b and others."""

from __future__ import annotations

import pytest

from mercurylb.membership.fast.codec import (
    NEVER,
    Beat,
    Flag,
    Query,
    Receipt,
    Report,
    Status,
    Verdict,
    decode,
    derive_key,
    encode,
)
from mercurylb.membership.fast.detector import FastDetector
from mercurylb.membership.fast.effect import (
    Accused,
    Answer,
    Found,
    Greet,
    HearsUs,
    Proven,
    Reached,
    Stalled,
    Stranger,
)
from mercurylb.membership.member import DownReason, ProbeKernel, SendDatagram

SECRET = b"s"
KEY = derive_key(SECRET)
SESSION = 5
ADDRESSES = {name: f"10.0.0.{ord(name) - ord('a') + 1}" for name in "abcdefg"}


class Other:
    """Another node, played by the test."""

    def __init__(self, node: str, *, session: int = 70, incarnation: int = 7) -> None:
        self.node = node
        self.session = session
        self.incarnation = incarnation
        self.sequence = 0

    def head(self) -> tuple[str, int, int, int]:
        """Return what every datagram begins with."""
        self.sequence += 1
        return self.node, self.session, self.sequence, self.incarnation

    def beat(
        self,
        flags: int = 0,
        *,
        status: Status = Status.ALIVE,
        of: int = 100,
        echo: int = 0,
    ) -> bytes:
        """Return a beat that says what this node believes about a."""
        session = SESSION if echo else 0
        beat = Beat(*self.head(), flags, session, echo, int(status), of)
        return encode(beat, KEY, "a")

    def report(self, accused: str, heard_ms: int, *, kernel_ms: int = NEVER) -> bytes:
        """Return what this node knows of another."""
        return encode(Report(*self.head(), accused, heard_ms, kernel_ms, NEVER), KEY, "a")

    def verdict(
        self, accused: str, *, of: int = 7, reason: str = "silent", witnesses: int = 1
    ) -> bytes:
        """Return the news that a node is dead."""
        return encode(Verdict(*self.head(), accused, of, reason, witnesses), KEY, "a")


class Stage:
    """Node a, its others, and the time."""

    def __init__(self, *names: str) -> None:
        self.now = 10.0
        self.machine = FastDetector("a", secret=SECRET, session=SESSION, incarnation=100)
        self.others = {name: Other(name) for name in names}
        for name in names:
            self.know(name)
        self.machine.on_joined(100, 10.0)
        self.beats()

    def know(self, name: str, status: Status = Status.ALIVE, incarnation: int = 7) -> list[object]:
        """Tell the detector what SWIM and the verdicts say."""
        return self.machine.on_contact(
            name, ADDRESSES[name], 7946, incarnation=incarnation, status=status, now=self.now
        )

    def take(self, name: str, payload: bytes) -> list[object]:
        """Hand over a datagram."""
        effects = self.machine.on_datagram(ADDRESSES[name], payload, self.now)
        self.machine.validate()
        return effects

    def beats(self) -> None:
        """Let everybody beat."""
        for name, other in self.others.items():
            self.take(name, other.beat())

    def run(self, until: float) -> list[object]:
        """Let the timers fire in time."""
        effects: list[object] = []
        while (deadline := self.machine.next_deadline()) is not None and deadline <= until:
            self.now = max(self.now, deadline)
            effects += self.machine.on_deadline(self.now)
            self.machine.validate()
        self.now = until
        return effects


def sent(effects: list[object]) -> list[tuple[str, object]]:
    """Return receivers and datagrams among effects."""
    names = {address: name for name, address in ADDRESSES.items()}
    return [
        (names[e.address], decode(e.payload, KEY, names[e.address]))
        for e in effects
        if isinstance(e, SendDatagram)
    ]


def sent_to(effects: list[object]) -> list[str]:
    """Return the addresses that something is sent to."""
    return [effect.address for effect in effects if isinstance(effect, SendDatagram)]


def of_kind(effects: list[object], *kinds: type) -> list[object]:
    """Return the effects of some kinds."""
    return [effect for effect in effects if isinstance(effect, kinds)]


def test_beats_go_to_every_neighbour_ten_times_a_second() -> None:
    """Each has a greater sequence, echoes what was heard, and says what we believe."""
    stage = Stage("b", "c")
    stage.run(10.15)
    stage.beats()
    found = [beat for name, beat in sent(stage.run(10.2)) if name == "b"]
    assert [type(beat) for beat in found] == [Beat]
    beat = found[0]
    assert (beat.echo_session, beat.echo_sequence) == (70, 2)
    assert (beat.status, beat.status_incarnation, beat.incarnation) == (Status.ALIVE, 7, 100)
    assert beat.flags == 0
    later = [beat.sequence for name, beat in sent(stage.run(10.5)) if name == "b"]
    assert later == sorted(set(later))
    assert later[0] > beat.sequence


def test_cost_does_not_grow() -> None:
    """Of many, only the neighbours on the rings hear anything in quiet times."""
    machine = FastDetector("a", secret=SECRET, session=SESSION, incarnation=100)
    for number in range(200):
        machine.on_contact(
            f"n{number}", f"10.1.0.{number}", 0, incarnation=1, status=Status.ALIVE, now=10.0
        )
    assert len(sent_to(machine.on_joined(100, 10.0))) == 200
    machine.on_deadline(11.1)
    assert 2 <= len(set(sent_to(machine.on_deadline(11.2)))) <= 4


def test_a_cut_off_node_is_dead_within_400_ms() -> None:
    """In a pair whose kernels answered each other before, and now nothing does."""
    stage = Stage("b")
    stage.machine.on_kernel_answer(ADDRESSES["b"], 10.0)
    assert of_kind(stage.run(10.35), Found) == []
    assert of_kind(stage.run(10.4), Found) == [Found("b", 7, DownReason.SILENT)]


def test_silence_is_asked_about() -> None:
    """After 220 ms the node, its kernel and its other observers are asked, again and again."""
    stage = Stage("b", "c")
    for name in stage.others:
        stage.machine.on_kernel_answer(ADDRESSES[name], 10.0)
    stage.run(10.1)
    stage.take("c", stage.others["c"].beat())
    stage.run(10.21)
    effects = stage.run(10.23)
    assert [(n, type(d)) for n, d in sent(effects)] == [("b", Beat), ("c", Query)]
    assert sent(effects)[0][1].flags == Flag.ASKS
    assert of_kind(effects, ProbeKernel) == [ProbeKernel(ADDRESSES["b"])]
    assert len(of_kind(stage.run(10.30), ProbeKernel)) == 2


def test_an_answer_ends_the_question() -> None:
    """A node that answers has lost nothing."""
    stage = Stage("b")
    stage.machine.on_kernel_answer(ADDRESSES["b"], 10.0)
    stage.run(10.3)
    stage.beats()
    assert of_kind(stage.run(10.6), Found) == []


def test_a_new_neighbour_s_kernel_is_asked_at_once() -> None:
    """And with every beat for a second, until it is known whether it can be asked at all."""
    stage = Stage()
    stage.others["b"] = Other("b")
    assert ProbeKernel(ADDRESSES["b"]) in stage.know("b")
    stage.beats()
    assert of_kind(stage.run(10.11), ProbeKernel)
    stage.beats()
    assert of_kind(stage.run(10.21), ProbeKernel)
    stage.beats()
    stage.machine.on_kernel_answer(ADDRESSES["b"], stage.now)
    assert not of_kind(stage.run(10.31), ProbeKernel)


def test_a_kernel_that_answers_buys_time() -> None:
    """A node whose process is starved is borne for 1.5 s, and is ill then."""
    stage = Stage("b")
    for _ in range(49):
        assert of_kind(stage.run(stage.now + 0.03), Found) == []
        stage.machine.on_kernel_answer(ADDRESSES["b"], stage.now)
    assert of_kind(stage.run(11.55), Found) == [Found("b", 7, DownReason.ILL)]


def test_without_a_common_link_silence_must_last_longer() -> None:
    """A kernel that was never reached says nothing by its silence."""
    stage = Stage("b")
    assert of_kind(stage.run(10.99), Found) == []
    assert of_kind(stage.run(11.05), Found) == [Found("b", 7, DownReason.SILENT)]


def test_a_refusal_kills_only_together_with_silence() -> None:
    """Nobody listens there, and it has been silent: gone; as long as it beats, nothing."""
    stage = Stage("b")
    for _ in range(5):
        stage.run(stage.now + 0.05)
        assert stage.machine.on_refused(ADDRESSES["b"], stage.now) is not None
        stage.beats()
    stage.run(10.30)
    assert of_kind(stage.run(10.40), Found) == []
    stage.machine.on_refused(ADDRESSES["b"], 10.40)
    stage.machine.on_refused(ADDRESSES["b"], 10.41)
    assert of_kind(stage.run(10.48), Found) == [Found("b", 7, DownReason.GONE)]


def test_refusals_of_strangers_are_ignored() -> None:
    """An address of nobody changes nothing."""
    assert Stage("b").machine.on_refused("10.9.9.9", 10.1) == []


def test_another_observer_who_hears_it_vouches() -> None:
    """On a link that is dead in one direction there is no verdict while somebody else hears it."""
    stage = Stage("b", "c")
    stage.machine.on_kernel_answer(ADDRESSES["b"], 10.0)
    effects: list[object] = []
    for _ in range(40):
        new = stage.run(stage.now + 0.05)
        stage.take("c", stage.others["c"].beat())
        for name, datagram in sent(new):
            if name == "c" and isinstance(datagram, Query):
                stage.take("c", stage.others["c"].report("b", 40))
        effects += new
    assert of_kind(effects, Found) == []


def test_an_observer_that_hears_nothing_either_bears_witness() -> None:
    """The verdict goes to everybody, with the number of witnesses, until they have it."""
    stage = Stage("b", "c")
    stage.machine.on_kernel_answer(ADDRESSES["b"], 10.0)
    stage.run(10.24)
    stage.take("c", stage.others["c"].beat())
    stage.take("c", stage.others["c"].report("b", 240))
    effects = stage.run(10.39)
    verdicts = [(n, d.accused, d.witness_count) for n, d in sent(effects) if type(d) is Verdict]
    assert verdicts == [("b", "b", 1), ("c", "b", 1)]
    stage.know("b", Status.DEAD)
    again = [n for n, d in sent(stage.run(10.45)) if type(d) is Verdict]
    assert again == ["c"]
    stage.take("c", encode(Receipt(*stage.others["c"].head(), "b", 7), KEY, "a"))
    stage.take("c", stage.others["c"].beat())
    assert [d for _, d in sent(stage.run(10.6)) if type(d) is Verdict] == []


def test_an_observer_that_does_not_answer_delays_the_verdict_only_a_little() -> None:
    """Two that are cut off together are both found dead."""
    stage = Stage("b", "c")
    for name in "bc":
        stage.machine.on_kernel_answer(ADDRESSES[name], 10.0)
    assert of_kind(stage.run(10.40), Found) == []
    assert {f.node for f in of_kind(stage.run(10.46), Found)} == {"b", "c"}


def test_our_own_lateness_is_not_their_silence() -> None:
    """After a stall of ours what came in is read first, and the time is taken off."""
    stage = Stage("b")
    stage.machine.on_kernel_answer(ADDRESSES["b"], 10.0)
    stage.run(10.1)
    stage.now = 10.6
    assert stage.machine.on_late(0.4, 10.6) == []
    assert of_kind(stage.machine.on_deadline(10.6), Found, ProbeKernel) == []
    stage.take("b", stage.others["b"].beat())
    assert of_kind(stage.run(10.8), Found) == []
    assert of_kind(stage.run(11.0), Found) != []


def test_a_long_stall_of_our_own_is_told() -> None:
    """Who stood still for 750 ms may have been replaced."""
    stage = Stage("b")
    assert stage.machine.on_late(0.74, 11.0) == []
    assert stage.machine.on_late(0.75, 12.0) == [Stalled(0.75)]


def test_who_is_deaf_accuses_nobody() -> None:
    """Without a carrier silence says nothing; it is counted from when the carrier is back."""
    stage = Stage("b")
    stage.machine.on_kernel_answer(ADDRESSES["b"], 10.0)
    stage.machine.on_hearing(is_deaf=True, now=10.1)
    assert of_kind(stage.run(12.0), Found, ProbeKernel)[1:] == []
    stage.machine.on_hearing(is_deaf=False, now=12.0)
    assert of_kind(stage.run(12.2), Found) == []
    assert of_kind(stage.run(12.5), Found) != []


VERDICTS = [
    ("witnessed", {}, [Found("d", 7, DownReason.SILENT, is_told=True)]),
    ("ill", {"reason": "ill"}, [Found("d", 7, DownReason.ILL, is_told=True)]),
    (
        "gone needs no witness",
        {"reason": "gone", "witnesses": 0},
        [Found("d", 7, DownReason.GONE, is_told=True)],
    ),
    ("as of an older incarnation", {"of": 6}, []),
    ("for a reason that is none", {"reason": "told"}, []),
    ("about its sender", {"accused": "b"}, []),
    ("about a stranger", {"accused": "z"}, []),
]


@pytest.mark.parametrize(
    ("changes", "found"), [v[1:] for v in VERDICTS], ids=[v[0] for v in VERDICTS]
)
def test_a_verdict_of_a_member_is_believed(changes: dict[str, object], found: list[object]) -> None:
    """If it is about somebody alive whom we have not heard just now; it gets its receipt anyway."""
    stage = Stage("b", "c", "d")
    stage.run(10.21)
    arguments = {"accused": "d", **changes}
    effects = stage.take("b", stage.others["b"].verdict(**arguments))
    assert of_kind(effects, Found) == found
    assert [type(d) for _, d in sent(effects)] == [Receipt]


def test_a_verdict_about_somebody_we_hear_is_not_believed() -> None:
    """Our own ears are worth more."""
    stage = Stage("b", "c", "d")
    effects = stage.take("b", stage.others["b"].verdict("d"))
    assert of_kind(effects, Found) == []


def test_a_verdict_of_no_member_is_counted() -> None:
    """A node that we hold for dead condemns nobody."""
    stage = Stage("b", "c", "d")
    stage.know("b", Status.DEAD)
    stage.run(10.21)
    assert stage.take("b", stage.others["b"].verdict("d")) == []
    assert stage.machine.refused["verdictOfNoMember"] == 1


def test_a_verdict_without_a_witness_is_checked_first() -> None:
    """One node alone condemns nobody who answers us; who does not answer us either is dead."""
    stage = Stage("b", "c", "d")
    stage.machine.on_kernel_answer(ADDRESSES["d"], 10.0)
    stage.run(10.21)
    effects = stage.take("b", stage.others["b"].verdict("d", witnesses=0))
    assert of_kind(effects, Found) == []
    assert ("d", Beat) in [(name, type(d)) for name, d in sent(effects)]
    stage.beats()
    assert of_kind(stage.run(10.4), Found) == []


def test_the_accused_is_told() -> None:
    """A verdict about us, or a beat that holds us for dead, is an accusation to refute."""
    stage = Stage("b", "c")
    told = stage.take("b", stage.others["b"].verdict("a", of=100))
    assert of_kind(told, Accused) == [Accused(100, "b")]
    beat = stage.take("c", stage.others["c"].beat(status=Status.DEAD, of=101))
    assert of_kind(beat, Accused) == [Accused(101, "c")]
    old = stage.take("b", stage.others["b"].verdict("a", of=99))
    assert of_kind(old, Accused) == []


def test_who_does_not_know_that_we_are_alive_is_greeted() -> None:
    """An older incarnation is no accusation, but is to be brought up to date, not too often."""
    stage = Stage("b")
    stage.machine.on_joined(101, 10.0)
    first = stage.take("b", stage.others["b"].beat(status=Status.DEAD, of=100))
    assert of_kind(first, Greet, Accused) == [Greet("b")]
    again = stage.take("b", stage.others["b"].beat(status=Status.DEAD, of=100))
    assert of_kind(again, Greet) == []


def test_a_node_that_acts_on_our_being_alive_is_told_of_once() -> None:
    """What it says about an older incarnation than that of our return does not count."""
    stage = Stage("b")
    stage.machine.on_joined(101, 10.0)
    assert of_kind(stage.take("b", stage.others["b"].beat(of=100)), HearsUs) == []
    assert of_kind(stage.take("b", stage.others["b"].beat(of=101)), HearsUs) == [HearsUs("b")]
    assert of_kind(stage.take("b", stage.others["b"].beat(of=101)), HearsUs) == []
    stage.know("b", Status.DEAD)
    stage.know("b", Status.ALIVE, incarnation=8)
    assert of_kind(stage.take("b", stage.others["b"].beat(of=101)), HearsUs) == [HearsUs("b")]


def test_proof_must_answer_what_was_asked_in_doubt() -> None:
    """What was said before we asked proves nothing."""
    stage = Stage("b")
    mark = sent(stage.machine.ask_all())[0][1].sequence
    stale = stage.take("b", stage.others["b"].beat(echo=mark - 1))
    assert of_kind(stale, Proven) == []
    denied = stage.take("b", stage.others["b"].beat(echo=mark, status=Status.DEAD))
    assert of_kind(denied, Proven) == []
    proof = stage.take("b", stage.others["b"].beat(echo=mark))
    assert of_kind(proof, Proven) == [Proven("b")]


def test_dead_nodes_are_knocked_at_until_nobody_listens() -> None:
    """The beats go on after a verdict, so that a heal is noticed from either side."""
    stage = Stage("b", "c")
    stage.know("b", Status.DEAD)
    knocks = [d for name, d in sent(stage.run(10.35)) if name == "b"]
    assert [k.status for k in knocks] == [Status.DEAD] * 3
    stage.machine.on_refused(ADDRESSES["b"], stage.now)
    assert [name for name, _ in sent(stage.run(10.55)) if name == "b"] == []


def test_a_dead_node_that_is_heard_is_answered() -> None:
    """It learns at once what we believe, and is joined again."""
    stage = Stage("b", "c")
    stage.know("b", Status.DEAD)
    effects = stage.take("b", stage.others["b"].beat())
    assert Answer("b", ADDRESSES["b"]) in effects
    assert of_kind(effects, Reached) == [Reached("b")]
    assert of_kind(stage.take("b", stage.others["b"].beat()), Reached) == []


def test_a_leaver_is_replaced_before_it_is_answered() -> None:
    """The takeover comes before the beat that lets it go."""
    stage = Stage("b", "c")
    effects = stage.take("b", stage.others["b"].beat(Flag.LEAVING | Flag.ASKS))
    assert effects[0] == Found("b", 7, DownReason.LEAVING, is_leave=True, is_told=True)
    assert effects[-1] == Answer("b", ADDRESSES["b"])
    stage.know("b", Status.LEFT)
    assert sent([stage.machine.answer("b", "")])[0][1].status == Status.LEFT


def test_leaving_is_over_when_all_have_acted() -> None:
    """Not when they have only heard it: they must say that we are gone."""
    stage = Stage("b", "c")
    leaving = sent(stage.machine.on_leave(10.0))
    assert [(name, d.flags & Flag.LEAVING) for name, d in leaving] == [
        ("b", Flag.LEAVING),
        ("c", Flag.LEAVING),
    ]
    stage.take("b", stage.others["b"].beat(status=Status.LEFT))
    stage.take("c", stage.others["c"].beat())
    assert not stage.machine.is_left
    stage.take("c", stage.others["c"].beat(status=Status.LEFT))
    assert stage.machine.is_left
    assert of_kind(stage.take("c", stage.others["c"].beat(status=Status.DEAD)), Accused) == []


RESTARTS = [
    ("idle", 8, Flag.IDLE, True),
    ("with an old incarnation", 7, 0, True),
    ("with a higher incarnation", 8, 0, False),
]


@pytest.mark.parametrize(
    ("incarnation", "flags", "is_found"), [r[1:] for r in RESTARTS], ids=[r[0] for r in RESTARTS]
)
def test_another_process_of_a_node_is_noticed(
    incarnation: int,
    flags: int,
    is_found: bool,  # noqa: FBT001
) -> None:
    """It counts for nothing until it has joined with a higher incarnation."""
    stage = Stage("b")
    stage.others["b"] = Other("b", session=71, incarnation=incarnation)
    effects = stage.take("b", stage.others["b"].beat(flags))
    expected = [Found("b", 7, DownReason.RESTARTED)] if is_found else []
    assert of_kind(effects, Found) == expected


def test_a_process_that_swim_told_of_first_has_not_restarted() -> None:
    """It has joined already, so it is not to be taken down again."""
    stage = Stage("b")
    stage.know("b", incarnation=8)
    stage.others["b"] = Other("b", session=71, incarnation=8)
    assert of_kind(stage.take("b", stage.others["b"].beat()), Found) == []


def test_repeated_and_older_datagrams_are_ignored() -> None:
    """A replay keeps nobody alive, neither of this process nor of a former one."""
    stage = Stage("b")
    stage.machine.on_kernel_answer(ADDRESSES["b"], 10.0)
    good = stage.others["b"].beat()
    stage.take("b", good)
    former = Other("b", session=69).beat()
    effects: list[object] = []
    for _ in range(9):
        effects += stage.run(stage.now + 0.05)
        assert stage.take("b", good) == []
        assert of_kind(stage.take("b", former), Found) == []
    assert of_kind(effects, Found) == [Found("b", 7, DownReason.SILENT)]
    assert stage.machine.refused == {"replayed": 9, "staleSession": 9}


def test_a_process_outgrows_its_former_self() -> None:
    """A node whose clock went back goes beyond the session that others remember."""
    stage = Stage("b")
    beat = Beat(*stage.others["b"].head(), 0, SESSION + 9, 3, Status.ALIVE, 100)
    stage.take("b", encode(beat, KEY, "a"))
    assert {d.session for _, d in sent(stage.run(10.1))} == {SESSION + 10}


def test_answers_to_a_former_process_are_no_sign_of_life() -> None:
    """Recorded beats for the process before us do not keep anybody alive."""
    stage = Stage("b")
    stage.machine.on_kernel_answer(ADDRESSES["b"], 10.0)
    effects: list[object] = []
    for _ in range(9):
        beat = Beat(*stage.others["b"].head(), 0, SESSION - 1, 3, Status.ALIVE, 100)
        stage.take("b", encode(beat, KEY, "a"))
        effects += stage.run(stage.now + 0.05)
    assert of_kind(effects, Found) == [Found("b", 7, DownReason.SILENT)]


def test_a_stranger_is_answered_and_told_of() -> None:
    """One of ours that SWIM has not told of is to be joined; nothing is remembered of it."""
    stage = Stage("b")
    effects = stage.take("d", Other("d").beat(Flag.ASKS, status=Status.UNKNOWN, of=0))
    assert effects == [Stranger("d", ADDRESSES["d"]), Answer("d", ADDRESSES["d"])]
    name, answer = sent([stage.machine.answer("d", ADDRESSES["d"])])[0]
    assert (name, answer.status, answer.echo_session) == ("d", Status.UNKNOWN, 0)
    assert stage.machine.contact("d") is None


def test_who_has_not_joined_says_so() -> None:
    """A new process answers that it is idle, and sends nothing by itself."""
    machine = FastDetector("a", secret=SECRET, session=SESSION, incarnation=100)
    assert machine.next_deadline() is None
    effects = machine.on_datagram(ADDRESSES["b"], Other("b").beat(Flag.ASKS), 10.0)
    assert effects == [Answer("b", ADDRESSES["b"])]
    assert sent([machine.answer("b", ADDRESSES["b"])])[0][1].flags == Flag.IDLE


def test_without_a_secret_the_source_must_be_the_members() -> None:
    """Unsigned datagrams are believed from the member's own address only."""
    machine = FastDetector("a", secret=b"", session=SESSION, incarnation=100)
    machine.on_contact("b", ADDRESSES["b"], 0, incarnation=7, status=Status.ALIVE, now=10.0)
    machine.on_joined(100, 10.0)
    leaving = encode(Beat("b", 70, 1, 7, Flag.LEAVING, 0, 0, 1, 100), b"", "a")
    assert machine.on_datagram("10.0.0.66", leaving, 10.1) == []
    assert machine.refused["source"] == 1
    assert of_kind(machine.on_datagram(ADDRESSES["b"], leaving, 10.1), Found) != []


def test_what_does_not_decode_is_counted_by_reason() -> None:
    """Nothing changes, and the counter says why."""
    stage = Stage("b")
    good = stage.others["b"].beat()
    for payload in (good[:-1], b"\x4d\x02" + good[2:], b"M", good + bytes(2000)):
        assert stage.take("b", payload) == []
    assert stage.machine.refused == {"signature": 1, "version": 2, "oversized": 1}
    own = encode(Beat("a", 1, 1, 1, 0, 0, 0, 1, 1), KEY, "a")
    assert stage.take("b", own) == []
    assert stage.machine.refused["ownName"] == 1


def test_questions_of_observers_are_answered() -> None:
    """With ages; of somebody we do not watch and have not heard, with nothing."""
    stage = Stage("b", "c")
    stage.machine.on_kernel_answer(ADDRESSES["c"], 10.1)
    stage.run(10.15)
    query = encode(Query(*stage.others["b"].head(), "c"), KEY, "a")
    report = sent(stage.take("b", query))[0][1]
    assert (report.accused, report.heard_age_ms, report.kernel_age_ms) == ("c", 150, 50)
    query = encode(Query(*stage.others["b"].head(), "z"), KEY, "a")
    report = sent(stage.take("b", query))[0][1]
    assert (report.heard_age_ms, report.kernel_age_ms, report.refused_age_ms) == (NEVER,) * 3

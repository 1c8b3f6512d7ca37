"""What everybody must know at once."""

from __future__ import annotations

from mercurylb.membership.fast.notice import NOTICES_MAX, Hello, Leaving, Notices, Sentence
from mercurylb.membership.fast.patience import FastTiming
from mercurylb.membership.member import DownReason

TIMING = FastTiming()
SENTENCE = Sentence("c", 3, DownReason.SILENT, 1)


def test_it_is_repeated_to_those_who_have_not_answered() -> None:
    """At once to all, then every 50 ms to the rest, for 1 s."""
    notices = Notices(TIMING)
    notices.add(Hello(), ["a", "b"], 10.0)
    assert notices.next_deadline() == 10.0
    assert notices.take_due(10.0) == [(Hello(), ("a", "b"))]
    assert notices.take_due(10.01) == []
    notices.on_answer(Hello(), "a")
    assert notices.take_due(10.05) == [(Hello(), ("b",))]
    assert notices.take_due(11.0) == []
    assert notices.next_deadline() is None


def test_it_ends_when_all_have_answered() -> None:
    """Nobody is waited for any more, whether they answered or are gone."""
    notices = Notices(TIMING)
    notices.add(Leaving(), ["a", "b"], 10.0)
    notices.on_answer(Leaving(), "a")
    assert notices.waiting(Leaving()) == ("b",)
    notices.on_gone("b")
    assert notices.waiting(Leaving()) == ()
    assert notices.next_deadline() is None


def test_a_receipt_is_for_one_verdict() -> None:
    """The receipt of an older verdict about the same node does not count."""
    notices = Notices(TIMING)
    notices.add(SENTENCE, ["a"], 10.0)
    notices.on_receipt("c", 2, "a")
    assert notices.waiting(SENTENCE) == ("a",)
    notices.on_receipt("c", 3, "a")
    assert notices.waiting(SENTENCE) == ()


def test_their_number_is_bounded() -> None:
    """The oldest makes room."""
    notices = Notices(TIMING)
    for number in range(NOTICES_MAX + 3):
        notices.add(Sentence(f"n{number}", 1, DownReason.SILENT, 1), ["a"], 10.0)
    due = notices.take_due(10.0)
    assert len(due) == NOTICES_MAX
    assert due[0][0].accused == "n3"

"""What members say about themselves."""

from __future__ import annotations

import pytest

from mercurylb.announcer import note as notes
from mercurylb.announcer import notebook
from mercurylb.announcer.note import MACS_MAX, Note, note_of
from mercurylb.announcer.notebook import Change, Notebook
from mercurylb.errors import WireError
from mercurylb.layer2.ability import ABLE, DIGEST_SIZE, DIGESTS_MAX, Unable
from mercurylb.membership.member import NOTE_SIZE_MAX

MAC = bytes.fromhex("020000000001")
OTHER = bytes.fromhex("020000000002")
DIGEST = b"abcd"
LARGEST = Note(
    tuple(number.to_bytes(6, "big") for number in range(MACS_MAX)),
    Unable(digests=frozenset(n.to_bytes(DIGEST_SIZE, "big") for n in range(DIGESTS_MAX))),
)


@pytest.mark.parametrize(
    "note",
    [Note(), Note((MAC, OTHER)), Note((MAC,), Unable(is_all=True)),
     Note((), Unable(digests=frozenset({DIGEST, b"efgh"}))), LARGEST],
    ids=["nothing", "addresses", "unable for all", "unable for two", "the largest"],
)  # fmt: skip
def test_a_note_survives_the_way(note: Note) -> None:
    """What is encoded decodes to itself, and fits into a member's metadata."""
    encoded = notes.encode(note)
    assert notes.decode(encoded) == note
    assert len(encoded) <= NOTE_SIZE_MAX


def test_bytes_of_a_note() -> None:
    """The layout is fixed, because members of several versions read it."""
    assert notes.encode(Note((MAC,))).hex() == "010102000000000100"
    assert notes.encode(Note((MAC,), Unable(is_all=True))).hex() == "0101020000000001ff"
    one = Note((), Unable(digests=frozenset({DIGEST})))
    assert notes.encode(one) == b"\x01\x00\x01abcd"
    assert notes.decode(b"\x01\x00\x01abcd and what a later version says") == one


@pytest.mark.parametrize(
    "received",
    [b"", b"\x02\x00\x00", b"\x01", b"\x01\x01\x02", b"\x01\x01" + MAC, b"\x01\x00\x01abc",
     b"\x01\x00" + bytes((DIGESTS_MAX + 1,)) + bytes(4 * DIGESTS_MAX + 4)],
    ids=["empty", "another version", "no more", "half a MAC", "no digests", "half a digest",
         "too many digests"],
)  # fmt: skip
def test_what_is_no_note_is_refused(received: bytes) -> None:
    """Nothing but our own error is raised."""
    with pytest.raises(WireError):
        notes.decode(received)


def test_own_addresses_are_sorted_once_and_bounded() -> None:
    """The same interfaces make the same note, whatever their order and number."""
    assert note_of([OTHER, MAC, MAC], ABLE) == note_of([MAC, OTHER], ABLE)
    many = note_of([n.to_bytes(6, "big") for n in range(100)], ABLE)
    assert len(many.macs) == MACS_MAX


def test_own_note_is_told_when_it_changes() -> None:
    """The same word is said once."""
    book = Notebook()
    first = book.tell((MAC,), ABLE)
    assert first is not None
    assert notes.decode(first) == Note((MAC,))
    assert book.tell((MAC,), ABLE) is None
    assert book.tell((MAC,), Unable(is_all=True)) is not None
    assert book.tell((), ABLE) is not None


def test_members_notes_are_kept() -> None:
    """What a member said last holds; what changed by it is told."""
    book = Notebook()
    assert book.take("a", notes.encode(Note((MAC,)))) == Change(has_unable=False, has_macs=True)
    assert book.take("a", notes.encode(Note((MAC,)))) == Change(has_unable=False, has_macs=False)
    unable = Unable(digests=frozenset({DIGEST}))
    assert book.take("a", notes.encode(Note((MAC,), unable))).has_unable
    assert book.take("b", notes.encode(Note((MAC, OTHER)))).has_macs
    assert (book.unable(), book.macs()) == ({"a": unable, "b": ABLE}, {MAC: "b", OTHER: "b"})
    assert book.has_all(["a", "b"])
    assert not book.has_all(["a", "c"])
    assert book.take("a", b"") == Change(has_unable=True, has_macs=True)
    assert not book.has_all(["a"])


def test_unreadable_word_says_nothing() -> None:
    """What does not decode is counted, and takes back what was said before."""
    book = Notebook()
    book.take("a", notes.encode(Note((MAC,), Unable(is_all=True))))
    assert book.take("a", b"\xff") == Change(has_unable=True, has_macs=True)
    assert (book.malformed_count, book.macs(), book.unable()) == (1, {}, {"a": ABLE})


def test_book_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who spoke first is forgotten first."""
    monkeypatch.setattr(notebook, "NOTES_MAX", 2)
    book = Notebook()
    for name in "abca":
        book.take(name, notes.encode(Note()))
        book.validate()
    assert sorted(book.unable()) == ["a", "c"]

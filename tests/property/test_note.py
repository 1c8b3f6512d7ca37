"""Notes of members, for all bytes there are."""

from __future__ import annotations

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from mercurylb.announcer import note as notes
from mercurylb.announcer.note import MACS_MAX, Note
from mercurylb.errors import WireError
from mercurylb.layer2.ability import DIGEST_SIZE, DIGESTS_MAX, Unable
from mercurylb.membership.member import NOTE_SIZE_MAX

MACS = st.lists(st.binary(min_size=6, max_size=6), max_size=MACS_MAX).map(tuple)
DIGESTS = st.frozensets(st.binary(min_size=DIGEST_SIZE, max_size=DIGEST_SIZE), max_size=DIGESTS_MAX)
UNABLE = st.one_of(st.builds(Unable, digests=DIGESTS), st.just(Unable(is_all=True)))


@given(st.builds(Note, MACS, UNABLE))
def test_every_note_survives_the_way(note: Note) -> None:
    """What is encoded decodes to itself and fits."""
    encoded = notes.encode(note)
    assert len(encoded) <= NOTE_SIZE_MAX
    assert notes.decode(encoded) == note


@given(st.binary(max_size=NOTE_SIZE_MAX) | st.binary(max_size=NOTE_SIZE_MAX).map(b"\x01".__add__))
def test_garbage_raises_our_own_error_only(received: bytes) -> None:
    """Bytes are a note that encodes to their beginning, or a WireError."""
    with contextlib.suppress(WireError):
        note = notes.decode(received)
        assert notes.decode(notes.encode(note)) == note
        assert len(notes.encode(note)) <= len(received)


@given(st.builds(Note, MACS, UNABLE), st.data())
def test_cut_notes_are_refused(note: Note, data: st.DataObject) -> None:
    """Every beginning of a note is none."""
    encoded = notes.encode(note)
    cut = data.draw(st.integers(0, len(encoded) - 1))
    try:
        notes.decode(encoded[:cut])
    except WireError:
        return
    raise AssertionError

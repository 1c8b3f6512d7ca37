"""What speakers say in annotations: told in a bounded way, read whatever stands there."""

from __future__ import annotations

import contextlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mercurylb.api.configuration_state import ConfigurationState
from mercurylb.api.service_l2_status import ServiceL2Status
from mercurylb.plan.desired import Conflict, MemberState
from mercurylb.plan.testimony import (
    ABSENT_ANNOTATION,
    CONFLICTS_ANNOTATION,
    CONFLICTS_MAX,
    MEMBER_QUIET_S,
    QUIET_S,
    Dispute,
    absent_of,
    disputes_of,
    encode_absent,
    encode_disputes,
    is_missed,
    missed_by,
    read_absent,
    read_disputes,
)

NOW, EARLIER = "2026-03-01T10:00:00Z", "2026-03-01T09:00:00Z"


def conflict(
    mac: str = "66", *, address: str = "192.0.2.8", node: str = "", age: float = 0.0
) -> Conflict:
    """Make a conflict as an announcer tells it."""
    return Conflict(address, "eth0", f"02:00:00:00:00:{mac}", node, 3, age)


def status(text: str) -> ServiceL2Status:
    """Make an object with the annotation."""
    metadata: dict[str, Any] = {"name": "l2-a", "annotations": {CONFLICTS_ANNOTATION: text}}
    return msgspec.convert({"metadata": metadata}, ServiceL2Status)


def state(name: str, **absent: str) -> ConfigurationState:
    """Make a speaker's state that misses nodes."""
    annotations = {ABSENT_ANNOTATION: encode_absent(absent)} if absent else {}
    metadata: dict[str, Any] = {"name": name, "annotations": annotations}
    return msgspec.convert({"metadata": metadata}, ConfigurationState)


def test_a_dispute_keeps_its_beginning() -> None:
    """What was told before, by whichever process, began when it said."""
    before = [Dispute(EARLIER, "192.0.2.8", "eth0", "02:00:00:00:00:66")]
    found = disputes_of([conflict("67"), conflict("66")], ["192.0.2.8"], before=before, now=NOW)
    assert [(each.since, each.mac[-2:]) for each in found] == [(EARLIER, "66"), (NOW, "67")]
    assert read_disputes(status(encode_disputes(found))) == found


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(conflict(address="192.0.2.9"), id="address"),
        pytest.param(conflict(age=QUIET_S), id="silence"),
        pytest.param(conflict(node="n2", age=MEMBER_QUIET_S), id="silence of a member"),
    ],
)
def test_what_is_over_or_of_others_is_not_told(other: Conflict) -> None:
    """Only claims on the service's own addresses that go on count."""
    assert disputes_of([other], ["192.0.2.8"], before=(), now=NOW) == ()
    assert encode_disputes(()) == ""


def test_a_silent_stranger_is_told_for_longer_than_a_member() -> None:
    """A host that uses the address may say so every few minutes only; a member gives way."""
    stranger = conflict(age=MEMBER_QUIET_S)
    assert len(disputes_of([stranger], ["192.0.2.8"], before=(), now=NOW)) == 1


def test_a_flood_of_claimants_is_told_in_few_words() -> None:
    """The first ones stay, so that the object is not written for each new one."""
    flood = [conflict(f"{number:02x}") for number in range(200)]
    first = disputes_of(flood, ["192.0.2.8"], before=(), now=EARLIER)
    again = disputes_of(reversed(flood), ["192.0.2.8"], before=first, now=NOW)
    assert len(first) == CONFLICTS_MAX
    assert again == first


def test_missed_members_are_told_with_the_reason() -> None:
    """Suspected ones are still there."""
    members = [
        MemberState("n4", "", "left"),
        MemberState("n3", "", "down", "silent"),
        MemberState("n2", "", "suspect", "silent"),
        MemberState("n1", "", "up"),
    ]
    assert absent_of(members) == {"n3": "down: silent", "n4": "left"}
    assert read_absent(state("speaker-n1", n3="down: silent")) == {"n3": "down: silent"}


def test_a_node_is_missed_when_most_others_say_so() -> None:
    """What a node says of itself, and what the controller has, do not count."""
    n1, n2 = state("speaker-n1", n3="down: silent"), state("speaker-n2")
    n3 = state("speaker-n3", n1="down: silent")
    assert missed_by([n1, n2, n3]) == {
        "n3": {"n1": "down: silent"},
        "n1": {"n3": "down: silent"},
    }
    assert not is_missed("n3", [n1, n2, n3, state("controller")])
    assert is_missed("n3", [n1, state("speaker-n2", n3="down: gone"), n3])
    assert not is_missed("n3", [])


JUNK = st.one_of(
    st.text(),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
        max_leaves=10,
    ).map(lambda value: msgspec.json.encode(value).decode()),
    st.just("[" * 5000),
    st.just("9" * 20_000),
)


@given(JUNK)
def test_whatever_stands_in_an_annotation_does_no_harm(text: str) -> None:
    """It is read or passed over, never an error."""
    with contextlib.suppress(UnicodeEncodeError):
        disputes = read_disputes(status(text))
        assert all(isinstance(each, Dispute) for each in disputes)
        metadata: dict[str, Any] = {"name": "speaker-n1", "annotations": {ABSENT_ANNOTATION: text}}
        found = read_absent(msgspec.convert({"metadata": metadata}, ConfigurationState))
        assert all(isinstance(word, str) for word in found.values())

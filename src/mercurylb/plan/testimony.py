"""What speakers say beside the fields of the API: annotations on objects that are theirs.

On the ServiceL2Status of a service: who else claims its addresses. On a speaker's
ConfigurationState: which members it misses. Both vanish with what they tell, mean nothing to
MetalLB, and may be removed by anybody. Nothing in them counts or ages, so a conflict that goes on
is written once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from mercurylb.api.configuration_state import CONTROLLER_NAME, SPEAKER_NAME_PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mercurylb.api.configuration_state import ConfigurationState
    from mercurylb.api.service_l2_status import ServiceL2Status
    from mercurylb.plan.desired import Conflict, MemberState

CONFLICTS_ANNOTATION: Final = "mercurylb.io/address-conflicts"
ABSENT_ANNOTATION: Final = "mercurylb.io/absent-members"

QUIET_S: Final = 600.0
"""A stranger's claim that was not repeated for so long is over."""
MEMBER_QUIET_S: Final = 30.0
"""A member's: once it hears the others it gives way, and until then it repeats itself."""
CONFLICTS_MAX: Final = 8
"""Told per service, those that began first."""
ABSENT_MAX: Final = 100
_TEXT_MAX: Final = 16_384
"""Longer annotations are none of ours."""

UP: Final = "up"
SUSPECT: Final = "suspect"


class Dispute(msgspec.Struct, frozen=True, order=True, omit_defaults=True, gc=False):
    """Somebody else claims an address that a node announces."""

    since: str
    """RFC 3339."""
    address: str
    interface: str
    """Of the node that announces it."""
    mac: str
    node: str = ""
    """The cluster's node with this MAC address; empty for a stranger."""

    @property
    def claimant(self) -> tuple[str, str, str]:
        """Give what makes it the same dispute."""
        return self.address, self.interface, self.mac


_DISPUTES: Final = msgspec.json.Decoder(tuple[Dispute, ...])
_ABSENT: Final = msgspec.json.Decoder(dict[str, str])


def disputes_of(
    conflicts: Iterable[Conflict], addresses: Iterable[str], *, before: Iterable[Dispute], now: str
) -> tuple[Dispute, ...]:
    """Give what is to be told of a service; what was told `before` keeps its beginning."""
    wanted = frozenset(addresses)
    since = {each.claimant: each.since for each in before}
    found: dict[tuple[str, str, str], Dispute] = {}
    for each in conflicts:
        if each.address in wanted and each.age_s < (MEMBER_QUIET_S if each.node else QUIET_S):
            claimant = each.address, each.interface, each.mac
            found[claimant] = Dispute(since.get(claimant, now), *claimant, each.node)
    return tuple(sorted(found.values())[:CONFLICTS_MAX])


def encode_disputes(disputes: tuple[Dispute, ...]) -> str:
    """Give the annotation's value; empty for no annotation."""
    return msgspec.json.encode(disputes).decode() if disputes else ""


def read_disputes(status: ServiceL2Status) -> tuple[Dispute, ...]:
    """Give the disputes that an object tells; what is no list of them tells none."""
    text = (status.metadata.annotations or {}).get(CONFLICTS_ANNOTATION, "")
    try:
        return _DISPUTES.decode(text) if 0 < len(text) <= _TEXT_MAX else ()
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return ()


def absent_of(members: Iterable[MemberState]) -> dict[str, str]:
    """Give the members that are not there, each with its state and the reason for it."""
    missing = [each for each in members if each.state not in (UP, SUSPECT)]
    missing.sort(key=lambda each: each.node)
    return {
        each.node: f"{each.state}: {each.reason}" if each.reason else each.state
        for each in missing[:ABSENT_MAX]
    }


def encode_absent(absent: Mapping[str, str]) -> str:
    """Give the annotation's value; empty for no annotation."""
    return msgspec.json.encode(absent).decode() if absent else ""


def read_absent(state: ConfigurationState) -> dict[str, str]:
    """Give the nodes that a speaker misses, with the reasons it tells."""
    text = (state.metadata.annotations or {}).get(ABSENT_ANNOTATION, "")
    try:
        return _ABSENT.decode(text) if 0 < len(text) <= _TEXT_MAX else {}
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return {}


def missed_by(states: Iterable[ConfigurationState]) -> dict[str, dict[str, str]]:
    """Give the nodes that speakers miss: by node, what each speaker's node says of it."""
    missed: dict[str, dict[str, str]] = {}
    for state in sorted(states, key=lambda each: each.metadata.name):
        speaker = state.metadata.name.removeprefix(SPEAKER_NAME_PREFIX)
        for node, word in sorted(read_absent(state).items()):
            if speaker not in (state.metadata.name, node):
                missed.setdefault(node, {})[speaker] = word
    return missed


def is_missed(node: str, states: Iterable[ConfigurationState]) -> bool:
    """Tell whether more than half of the other nodes' speakers miss a node."""
    others = [
        state
        for state in states
        if state.metadata.name not in (CONTROLLER_NAME, f"{SPEAKER_NAME_PREFIX}{node}")
    ]
    return 2 * sum(node in read_absent(state) for state in others) > len(others)

"""Who answers is compared with who is to: each combination has its code, and its words."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from mercurylb.api.configuration_state import ConfigurationState
from mercurylb.api.pod import Pod
from mercurylb.api.service_l2_status import ServiceL2Status
from mercurylb.plan.answer import judge
from mercurylb.plan.hearing import AnswerCode, Heard, Report, Wire
from mercurylb.plan.snapshot import Settings, Snapshot
from mercurylb.plan.testimony import (
    ABSENT_ANNOTATION,
    CONFLICTS_ANNOTATION,
    Dispute,
    encode_absent,
    encode_disputes,
)
from tests.unit.plan.cluster import advertisement, endpoints, node, pool, service

ADDRESS = "10.20.30.1"
FIRST, SECOND = "iris2", "iris1"
MACS = {"02:00:00:00:00:01": "iris1", "02:00:00:00:00:02": "iris2"}
MAC_OF = {name: mac for mac, name in MACS.items()}
STRANGER = "02:00:00:00:00:66"


def speaker(name: str) -> Pod:
    """Make the ready pod of a speaker."""
    status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    metadata = {"name": f"speaker-{name}", "namespace": "metallb"}
    return msgspec.convert(
        {"metadata": metadata, "spec": {"nodeName": name}, "status": status}, Pod
    )


def status(name: str, *disputes: Dispute) -> ServiceL2Status:
    """Make the object by which a node says that it announces the service."""
    metadata: dict[str, Any] = {
        "name": f"l2-{name}",
        "namespace": "metallb",
        "creationTimestamp": "2026-03-01T10:00:00Z",
        "labels": {
            "metallb.io/node": name,
            "metallb.io/service-name": "web",
            "metallb.io/service-namespace": "default",
        },
        "annotations": {CONFLICTS_ANNOTATION: encode_disputes(disputes)},
    }
    return msgspec.convert({"metadata": metadata}, ServiceL2Status)


def snapshot(**changes: Any) -> Snapshot:
    """Make a cluster of two nodes in which iris2 is first for the address."""
    parts: dict[str, Any] = {
        "settings": Settings(namespace="metallb"),
        "services": (service(has=ADDRESS),),
        "pools": (pool("p", "10.20.30.0/24"),),
        "l2_advertisements": (advertisement("ad"),),
        "nodes": (node("iris1"), node("iris2")),
        "endpoint_slices": tuple(
            msgspec.structs.replace(
                each,
                metadata=msgspec.structs.replace(
                    each.metadata, labels={"kubernetes.io/service-name": "web"}
                ),
            )
            for each in endpoints(("iris1", {"ready": True}))
        ),
        "speakers": (speaker("iris1"), speaker("iris2")),
        "are_pods_known": True,
        "l2_statuses": (status(FIRST),),
    }
    return Snapshot(**{**parts, **changes})


def asked(*macs: str, unlearnt: tuple[str, ...] = (), here: str = "") -> Wire:
    """Make what the wire says when these answer."""
    learnt = {mac: name for mac, name in MACS.items() if name not in unlearnt}
    return Wire(tuple(Heard(mac, "eth0") for mac in macs), learnt, unlearnt, here)


NO_SERVICE: dict[str, Any] = {"services": (), "l2_statuses": ()}
NO_ADVERTISEMENT: dict[str, Any] = {"l2_advertisements": (), "l2_statuses": ()}
WITHOUT_POOL: dict[str, Any] = {**NO_SERVICE, "pools": ()}

ANSWERS: dict[str, tuple[Wire, dict[str, Any], AnswerCode, str]] = {
    "the first": (asked(MAC_OF[FIRST]), {}, AnswerCode.RIGHT, "as it is to"),
    "the first on two interfaces": (
        msgspec.structs.replace(
            asked(MAC_OF[FIRST], "02:00:00:00:01:02"),
            macs={**MACS, "02:00:00:00:01:02": FIRST},
        ),
        {},
        AnswerCode.RIGHT,
        "as it is to",
    ),
    "the second": (asked(MAC_OF[SECOND]), {}, AnswerCode.WRONG_NODE, "node iris2 is to"),
    "both": (asked(*MACS), {}, AnswerCode.TWO_OWNERS, "2 machines answer"),
    "a stranger": (asked(STRANGER), {}, AnswerCode.STRANGER, "none of the nodes"),
    "the first and a stranger": (
        asked(MAC_OF[FIRST], STRANGER),
        {},
        AnswerCode.TWO_OWNERS,
        STRANGER,
    ),
    "somebody whose MAC address could be the first's": (
        asked(STRANGER, unlearnt=(FIRST,)),
        {},
        AnswerCode.UNPROVEN,
        "is not known",
    ),
    "nobody": (asked(), {}, AnswerCode.NOBODY, "node iris2 is to"),
    "nobody, asked from the first": (
        asked(here=FIRST),
        {},
        AnswerCode.NOBODY,
        "does not hear its own questions",
    ),
    "nobody, and nobody is to": (asked(), NO_ADVERTISEMENT, AnswerCode.NOBODY, "as was to be"),
    "a node, and nobody is to": (
        asked(MAC_OF[FIRST]),
        NO_ADVERTISEMENT,
        AnswerCode.NOT_WANTED,
        "no L2Advertisement",
    ),
    "nobody for a free address": (asked(), NO_SERVICE, AnswerCode.NOBODY, "no service has it"),
    "a node for a free address": (
        asked(MAC_OF[FIRST]),
        NO_SERVICE,
        AnswerCode.NOT_WANTED,
        "no service has",
    ),
    "a stranger on an address of a pool": (
        asked(STRANGER),
        NO_SERVICE,
        AnswerCode.STRANGER,
        "pool p does",
    ),
    "an address that is not ours": (asked(STRANGER), WITHOUT_POOL, AnswerCode.NOT_OURS, "no pool"),
}


@pytest.mark.parametrize(("wire", "changes", "code", "words"), ANSWERS.values(), ids=ANSWERS)
def test_answers(wire: Wire, changes: dict[str, Any], code: AnswerCode, words: str) -> None:
    """The code is the right one, the sentence says it, and what is wrong comes with advice."""
    report = judge(ADDRESS, wire, snapshot(**changes))
    assert report.code is code, report.sentence
    assert words in report.sentence
    is_calm = report.is_fine or code is AnswerCode.NOBODY
    assert report.advice or is_calm


@pytest.mark.parametrize(
    ("wire", "code"),
    [
        (asked(STRANGER), AnswerCode.ANSWERED),
        (asked(*MACS), AnswerCode.TWO_OWNERS),
        (asked(), AnswerCode.NOBODY),
    ],
)
def test_without_a_cluster_only_the_wire_is_told(wire: Wire, code: AnswerCode) -> None:
    """One owner is fine, two never are."""
    assert judge(ADDRESS, wire, None).code is code


def test_everything_that_proves_it_is_in_the_report() -> None:
    """The ranking, who says that it announces and since when, conflicts and missed members."""
    dispute = Dispute("2026-03-01T11:00:00Z", ADDRESS, "eth0", STRANGER)
    state = msgspec.convert(
        {
            "metadata": {
                "name": "speaker-iris2",
                "annotations": {ABSENT_ANNOTATION: encode_absent({"iris1": "down: silent"})},
            }
        },
        ConfigurationState,
    )
    told = snapshot(
        l2_statuses=(status(FIRST, dispute),),
        configuration_states=(state,),
    )
    report = judge(ADDRESS, asked(MAC_OF[FIRST]), told)
    assert report.ranking == (FIRST, SECOND)
    assert report.expected == (FIRST,)
    assert [(each.node, each.since) for each in report.said] == [(FIRST, "2026-03-01T10:00:00Z")]
    assert report.disputes == (dispute,)
    assert report.missed == {"iris1": {"iris2": "down: silent"}}


def test_a_first_that_the_others_miss_is_not_waited_for() -> None:
    """Its pod may still look ready; the next one is to answer."""
    state = msgspec.convert(
        {
            "metadata": {
                "name": "speaker-iris1",
                "annotations": {ABSENT_ANNOTATION: encode_absent({FIRST: "down: silent"})},
            }
        },
        ConfigurationState,
    )
    told = snapshot(configuration_states=(state,), l2_statuses=(status(SECOND),))
    report: Report = judge(ADDRESS, asked(MAC_OF[SECOND]), told)
    assert (report.code, report.expected) == (AnswerCode.RIGHT, (SECOND,))


def test_addresses_are_compared_as_addresses() -> None:
    """However a service spells an IPv6 address, it is the same one."""
    told = snapshot(services=(service(has="2001:DB8:0::1"),), pools=(pool("p", "2001:db8::/64"),))
    report = judge("2001:db8::1", asked(), told)
    assert report.services == ("default/web",)

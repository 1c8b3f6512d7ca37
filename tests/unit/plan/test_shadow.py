"""Shadow mode finds what would be done differently, and tells it once."""

from __future__ import annotations

import pytest

from mercurylb.api.configuration_state import ConfigurationState, ConfigurationStateStatus
from mercurylb.api.meta import ObjectMeta
from mercurylb.api.service_bgp_status import ServiceBGPStatus, ServiceBGPStatusStatus
from mercurylb.api.service_l2_status import (
    NODE_LABEL,
    SERVICE_NAME_LABEL,
    SERVICE_NAMESPACE_LABEL,
    ServiceL2Status,
)
from mercurylb.plan.layer2 import Layer2Decision, Layer2Reason
from mercurylb.plan.shadow import (
    Aspect,
    Difference,
    Ledger,
    compare_bgp,
    compare_configuration,
    compare_layer2,
)

SERVICE = "default/web"
OURS = Difference(SERVICE, Aspect.LAYER2, "n1", "n2")
OTHER = Difference(SERVICE, Aspect.ADDRESSES, "a", "b")


def about(node: str) -> ObjectMeta:
    """Give the metadata of a status object."""
    labels = {NODE_LABEL: node, SERVICE_NAME_LABEL: "web", SERVICE_NAMESPACE_LABEL: "default"}
    return ObjectMeta(name="x", namespace="metallb", labels=labels)


@pytest.mark.parametrize(
    ("ranking", "live", "shown", "expected"),
    [
        pytest.param(("n1", "n2"), {"n1", "n2"}, ["n1"], None, id="the same"),
        pytest.param(("n2", "n1"), {"n1", "n2"}, ["n2"], None, id="somebody else, for both"),
        pytest.param(("n1", "n2"), {"n1", "n2"}, ["n2"], ("n1", "n2"), id="we would answer"),
        pytest.param(("n1", "n2"), {"n1", "n2"}, [], ("n1", "nobody"), id="nobody answers"),
        pytest.param(("n1", "n2"), {"n2"}, ["n2"], None, id="the first is dead"),
        pytest.param(("n2", "n1"), {"n1", "n2"}, ["n1"], ("n2", "n1"), id="we would not"),
        pytest.param((), {"n1"}, ["n1"], ("nobody", "n1"), id="there is no candidate"),
    ],
)
def test_who_answers(
    ranking: tuple[str, ...], live: set[str], shown: list[str], expected: tuple[str, str] | None
) -> None:
    """A speaker compares itself: what its node answers for, and what it would answer for."""
    decision = Layer2Decision(SERVICE, None if ranking else Layer2Reason.NOT_OWNER, ranking=ranking)
    statuses = [ServiceL2Status(metadata=about(node)) for node in shown]
    found = list(compare_layer2({SERVICE: decision}, statuses, node="n1", live=live))
    assert [(each.ours, each.theirs) for each in found] == ([expected] if expected else [])


def test_a_status_of_a_service_that_is_gone_differs() -> None:
    """Who is still announced and should not be is told with the reason."""
    statuses = [ServiceL2Status(metadata=about("n1"))]
    (found,) = compare_layer2({}, statuses, node="n1", live={"n1"})
    assert (found.ours, found.theirs) == ("nobody", "n1")
    assert "gone" in found.reason


@pytest.mark.parametrize(
    ("peers", "shown", "expected"),
    [
        pytest.param(("a", "b"), ("b", "a"), None, id="the same"),
        pytest.param(("a",), None, ("a", "nobody"), id="more"),
        pytest.param((), ("a",), ("nobody", "a"), id="less"),
        pytest.param(("a",), ("a", "b"), ("a", "a, b"), id="other ones"),
    ],
)
def test_whom_it_is_told(
    peers: tuple[str, ...], shown: tuple[str, ...] | None, expected: tuple[str, str] | None
) -> None:
    """Peers are compared as sets, by service; other nodes' objects do not count."""
    status = ServiceBGPStatusStatus(peers=shown or ())
    statuses = [] if shown is None else [ServiceBGPStatus(metadata=about("n1"), status=status)]
    other = ServiceBGPStatusStatus(peers=("z",))
    statuses.append(ServiceBGPStatus(metadata=about("n2"), status=other))
    wanted = {SERVICE: peers} if peers else {}
    found = list(compare_bgp(wanted, statuses, node="n1"))
    assert [(each.ours, each.theirs) for each in found] == ([expected] if expected else [])


@pytest.mark.parametrize(
    ("error", "result", "expected"),
    [
        pytest.param("", "Valid", None, id="both accept"),
        pytest.param("no", "Invalid", None, id="both refuse"),
        pytest.param("no", "Valid", ("Invalid", "Valid"), id="we would refuse"),
        pytest.param("", "Invalid", ("Valid", "Invalid"), id="they refuse"),
        pytest.param("no", "", None, id="their verdict is not known"),
    ],
)
def test_verdicts(error: str, result: str, expected: tuple[str, str] | None) -> None:
    """A configuration that only one side accepts differs."""
    state = ConfigurationState(status=ConfigurationStateStatus(result=result))
    found = list(compare_configuration("controller", error, state))
    assert [(each.ours, each.theirs) for each in found] == ([expected] if expected else [])


def test_a_difference_is_told_once_after_it_has_stood_and_once_when_it_is_over() -> None:
    """The others act a moment later than we decide: only what stands is told, and only once."""
    ledger = Ledger(settle_s=5)
    assert ledger.on_look([OURS], 0) == ((), ())
    assert ledger.is_waiting
    assert ledger.on_look([OURS, OTHER], 5) == ((OURS,), ())
    assert ledger.on_look([OURS, OTHER], 6) == ((), ())
    assert ledger.on_look([OTHER], 7) == ((), (OURS,))
    assert ledger.on_look([], 8) == ((), ())
    assert not ledger.is_waiting
    assert ledger.on_look([OURS], 9) == ((), ()), "it has to stand anew"
    assert ledger.standing == 0

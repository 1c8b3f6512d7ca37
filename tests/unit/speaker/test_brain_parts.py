"""What a speaker asks the API server for, and under which name it reports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from mercurylb.api.meta import OwnerReference
from mercurylb.kube.informers import Informers
from mercurylb.kube.watch import EVERYTHING, Selection
from mercurylb.speaker.brain import _Brain
from mercurylb.speaker.settings import parse_settings

if TYPE_CHECKING:
    from mercurylb.kube.operation import Operation
    from mercurylb.kube.resource import Resource

CLUSTER_WIDE = {"services", "endpointslices", "nodes", "namespaces"}
"""Everything else is read in the own namespace only."""


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Selection]:
    """Give what is asked for of each kind, once a brain was made."""
    found: dict[str, Selection] = {}
    add = Informers.add

    def recording(
        self: Informers, resource: Resource[Any], selection: Selection = EVERYTHING
    ) -> Any:
        found[resource.plural] = selection
        return add(self, resource, selection)

    monkeypatch.setattr(Informers, "add", recording)
    return found


def brain() -> _Brain:
    """Make the brain of node n1, which talks to nobody."""
    settings = parse_settings(["--namespace=home", "--node-name=n1"], {})
    owner = OwnerReference("v1", "Pod", "speaker-x", "uid-1")
    nobody = cast("Any", None)
    return _Brain(settings, nobody, nobody, namespace="home", owner=owner)


@pytest.mark.rule("api-1.namespace")
def test_configuration_is_read_in_the_own_namespace_only(asked: dict[str, Selection]) -> None:
    """Objects of the group elsewhere are not even listed."""
    brain()
    assert {kind for kind, selection in asked.items() if not selection.namespace} == CLUSTER_WIDE
    assert {selection.namespace for selection in asked.values()} == {"", "home"}


@pytest.mark.rule("api-8.4.speaker-object", "api-8.4.condition-types")
def test_a_speaker_reports_under_its_nodes_name(
    asked: dict[str, Selection], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It watches the very object that it writes."""
    made = brain()
    assert asked["configurationstates"].fields == "metadata.name=speaker-n1"
    written: list[Operation] = []
    monkeypatch.setattr(
        made._writer, "submit", lambda _key, operation, _then: written.append(operation)
    )
    made._config_reporter.report("")
    (operation,) = written
    assert (operation.namespace, operation.name) == ("home", "speaker-n1")
    assert operation.field_manager == "configReconciler"
    assert b'"metallb.io/node-name":"n1"' in operation.body
    (status,) = [made._config_reporter._missing_status()]
    assert status is not None
    (condition,) = cast("Any", status["status"])["conditions"]
    assert condition.type == "configReconcilerValid"

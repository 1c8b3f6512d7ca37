"""What a speaker asks the API server for, and under which name it reports."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

import pytest

from mercurylb.api.meta import OwnerReference
from mercurylb.kube.informers import Informers
from mercurylb.kube.watch import EVERYTHING, Selection
from mercurylb.speaker.brain import HEALTH_HOST, _Brain
from mercurylb.speaker.settings import parse_settings
from mercurylb.speaker.step import Step
from mercurylb.telemetry import logs as log

if TYPE_CHECKING:
    from mercurylb.kube.operation import Operation
    from mercurylb.kube.resource import Resource

OWNER = OwnerReference("v1", "Pod", "speaker-x", "uid-1")
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
    nobody = cast("Any", None)
    return _Brain(settings, nobody, nobody, namespace="home")


@pytest.mark.rule("api-1.namespace")
@pytest.mark.rule("speaker-5.watches")
def test_configuration_is_read_in_the_own_namespace_only(asked: dict[str, Selection]) -> None:
    """Objects of the group elsewhere are not even listed."""
    brain()
    assert {kind for kind, selection in asked.items() if not selection.namespace} == CLUSTER_WIDE
    assert {selection.namespace for selection in asked.values()} == {"", "home"}


@pytest.mark.rule("api-8.4.speaker-object", "api-8.4.condition-types")
@pytest.mark.rule("speaker-8.3")
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
    reporter = made._reporters(OWNER).configuration
    reporter.report("")
    (operation,) = written
    assert (operation.namespace, operation.name) == ("home", "speaker-n1")
    assert operation.field_manager == "configReconciler"
    assert b'"metallb.io/node-name":"n1"' in operation.body
    (status,) = [reporter._missing_status()]
    assert status is not None
    (condition,) = cast("Any", status["status"])["conditions"]
    assert condition.type == "configReconcilerValid"


@pytest.mark.rule("speaker-7.component")
def test_events_come_from_the_originals_component() -> None:
    """Whoever filters events by their source finds them under the old name, with the node."""
    recorder = brain()._recorder
    assert (recorder._component, recorder._host) == ("metallb-speaker", "n1")


@pytest.mark.rule("speaker-2.health")
def test_only_the_node_itself_may_ask_for_health() -> None:
    """The pod shares the node's network, so its probes are on the loopback address."""
    assert HEALTH_HOST == "127.0.0.1"


@pytest.mark.rule("speaker-5.1.rejected", "speaker-5.1.condition", "speaker-5.2.in-use")
def test_how_a_configuration_fared_is_counted_and_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Stale comes with a refusal and goes with the next good one; only one in use is an error."""
    log.configure(log.Level.INFO)
    made = brain()
    reporter = made._reporters(OWNER).configuration
    reported: list[str] = []
    monkeypatch.setattr(reporter, "report", reported.append)
    metrics = made._metrics.config
    seen = []
    for error, is_in_use, is_loaded in (
        ("", False, True),
        ("Pool p: bad", False, False),
        ("Pool p: bad", False, False),
        ("Service s: in use", True, False),
        ("", False, False),
    ):
        made._note_configuration(
            Step(
                has_changed=False,
                was_compiled=True,
                error=error,
                is_in_use=is_in_use,
                is_loaded=is_loaded,
            ),
            reporter,
        )
        seen.append((metrics._loaded.value(), metrics._stale.value(), metrics.errors.value()))
    assert seen == [(1, 0, 0), (1, 1, 0), (1, 1, 0), (1, 1, 1), (1, 0, 1)]
    assert reported == ["", "Pool p: bad", "Pool p: bad", "Service s: in use", ""]
    events = [json.loads(line)["event"] for line in capsys.readouterr().out.splitlines()]
    assert events == ["config.loaded", "config.rejected", "config.rejected"]

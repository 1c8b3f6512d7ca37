"""What a controller asks the API server for, and under which name it reports."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, cast

import pytest

from mercurylb.api.meta import OwnerReference
from mercurylb.controller.desk import Desk
from mercurylb.kube.store import Store, Wakeup
from mercurylb.kube.watch import EVERYTHING, Selection
from mercurylb.telemetry.metrics import Registry

if TYPE_CHECKING:
    from mercurylb.kube.resource import Resource


class Informers:
    """Notes what is asked for."""

    def __init__(self) -> None:
        self.wakeup = Wakeup()
        self.asked: dict[str, Selection] = {}
        self.counts: list[Any] = []

    def add(self, resource: Resource[Any], selection: Selection = EVERYTHING) -> Store[Any]:
        self.asked[resource.plural] = selection
        return Store(self.wakeup)


def desk(informers: Informers, *, allocates: bool = True) -> Desk:
    """Make a desk at which nobody works."""
    return Desk(
        cast("Any", informers),
        cast("Any", None),
        allocates=allocates,
        namespace="home",
        owner=OwnerReference("v1", "Pod", "controller-x", "uid-1"),
        lb_class="",
        backend="native",
        registry=Registry(),
        dice=random.Random(1),
    )


@pytest.mark.rule("api-1.namespace", "api-8.4.scope")
def test_configuration_is_read_in_the_own_namespace_only() -> None:
    """Pools and communities of the own namespace, and nothing that only speakers judge."""
    informers = Informers()
    desk(informers)
    assert informers.asked == {
        "configurationstates": Selection("home", fields="metadata.name=controller"),
        "services": EVERYTHING,
        "namespaces": EVERYTHING,
        "ipaddresspools": Selection("home"),
        "communities": Selection("home"),
    }


@pytest.mark.rule("api-8.4.controller-object", "api-8.4.condition-types")
def test_a_controller_reports_under_its_own_name() -> None:
    """It writes the object that it watches; one that only serves webhooks leaves the verdict be."""
    reporter = desk(Informers())._reporter()
    assert (reporter._name, reporter._namespace) == ("controller", "home")
    assert reporter._condition_type == "poolReconcilerValid"
    assert reporter._field_manager == "poolReconciler"
    assert desk(Informers(), allocates=False)._reporter()._field_manager != "poolReconciler"

"""ServiceL2Status objects follow what this node announces (spec: layer2 §11)."""

from __future__ import annotations

import msgspec
import pytest

from mercurylb.api.meta import ObjectMeta, OwnerReference
from mercurylb.api.service_l2_status import (
    InterfaceInfo,
    ServiceL2Status,
    ServiceL2StatusStatus,
)
from mercurylb.kube.operation import Operation, Verb
from mercurylb.speaker.l2_status import Announced, Author, diff

OWNER = OwnerReference("v1", "Pod", "metallb-speaker-abc", "uid-1")
AUTHOR = Author(node="n1", namespace="metallb", pod=OWNER)


def status_object(
    name: str, *, node: str = "n1", service: str = "web", interfaces: tuple[str, ...] | None = None
) -> ServiceL2Status:
    """Make an object as this or another node's speaker would have written it."""
    return ServiceL2Status(
        metadata=ObjectMeta(
            name=name,
            namespace="metallb",
            labels={
                "metallb.io/node": node,
                "metallb.io/service-name": service,
                "metallb.io/service-namespace": "default",
            },
        ),
        status=ServiceL2StatusStatus(
            node=node,
            service_name=service,
            service_namespace="default",
            interfaces=None
            if interfaces is None
            else tuple(InterfaceInfo(name) for name in interfaces),
        ),
    )


def summary(operations: dict[str, Operation]) -> list[tuple[str, str]]:
    """Give verb and name of each operation."""
    return sorted((operation.verb.name, operation.name) for operation in operations.values())


WEB = Announced("default/web", None)
WEB_ETH0 = Announced("default/web", ("eth0",))


@pytest.mark.parametrize(
    ("announced", "existing", "expected"),
    [
        ((), (), []),
        ((WEB,), (), [("CREATE", "")]),
        ((WEB,), (status_object("l2-a"),), []),
        ((WEB_ETH0,), (status_object("l2-a", interfaces=("eth0",)),), []),
        ((WEB_ETH0,), (status_object("l2-a"),), [("MERGE", "l2-a")]),
        ((), (status_object("l2-a"),), [("DELETE", "l2-a")]),
        ((), (status_object("l2-a", node="n2"),), []),
        (
            (WEB,),
            (status_object("l2-a", node="n2"), status_object("l2-b"), status_object("l2-c")),
            [("DELETE", "l2-a"), ("DELETE", "l2-c")],
        ),
        ((WEB,), (status_object("l2-a", node="n2"),), [("CREATE", ""), ("DELETE", "l2-a")]),
    ],
    ids=[
        "nothing",
        "first announcement creates",
        "true already",
        "true already with interfaces",
        "interfaces changed",
        "let go: own object goes",
        "let go: another node's object stays",
        "taken over: others and redundant ones go",
        "taken over: create and remove",
    ],
)
@pytest.mark.rule("api-8.2.created", "api-8.2.takeover", "api-8.2.withdrawn")
@pytest.mark.rule("layer2-11.reconcile", "layer2-11.withdrawn")
def test_operations(
    announced: tuple[Announced, ...],
    existing: tuple[ServiceL2Status, ...],
    expected: list[tuple[str, str]],
) -> None:
    """Exactly the objects that lie are touched."""
    assert summary(diff(announced, existing, author=AUTHOR)) == expected


@pytest.mark.rule("api-8.2.two-steps", "api-8.2.interfaces", "layer2-11.fields")
def test_a_fresh_object_is_filled_in_after_it_came_back() -> None:
    """An object without status gets it by a patch of the status subresource."""
    fresh = msgspec.structs.replace(status_object("l2-a"), status=None)
    (operation,) = diff((WEB_ETH0,), (fresh,), author=AUTHOR).values()
    assert operation.verb is Verb.MERGE
    assert operation.subresource == "status"
    assert msgspec.json.decode(operation.body) == {
        "status": {
            "node": "n1",
            "serviceName": "web",
            "serviceNamespace": "default",
            "interfaces": [{"name": "eth0"}],
        }
    }


@pytest.mark.rule("api-8.2.interfaces")
def test_announcing_on_all_interfaces_clears_an_earlier_list() -> None:
    """A merge patch removes the list of interfaces by null, not by leaving it out."""
    before = status_object("l2-a", interfaces=("eth0",))
    (operation,) = diff((WEB,), (before,), author=AUTHOR).values()
    assert msgspec.json.decode(operation.body)["status"]["interfaces"] is None


@pytest.mark.rule("api-8.2.identity", "api-8.2.owner", "api-10.own-pod", "layer2-11.identity")
def test_a_creation_carries_labels_and_owner() -> None:
    """The object is found by its labels and is collected together with the speaker's pod."""
    (operation,) = diff((WEB,), (), author=AUTHOR).values()
    metadata = msgspec.json.decode(operation.body)["metadata"]
    assert metadata["generateName"] == "l2-"
    assert metadata["labels"]["metallb.io/service-name"] == "web"
    assert metadata["ownerReferences"] == [
        {"apiVersion": "v1", "kind": "Pod", "name": "metallb-speaker-abc", "uid": "uid-1"}
    ]


@pytest.mark.rule("layer2-11.labels")
def test_objects_without_labels_are_left_alone() -> None:
    """Somebody else's object is nobody's business."""
    foreign = msgspec.structs.replace(
        status_object("l2-a"), metadata=ObjectMeta(name="l2-a", namespace="metallb")
    )
    assert diff((), (foreign,), author=AUTHOR) == {}


@pytest.mark.parametrize(
    ("before", "wanted", "patch"),
    [
        ("", "[1]", {"mercurylb.io/address-conflicts": "[1]"}),
        ("[1]", "[2]", {"mercurylb.io/address-conflicts": "[2]"}),
        ("[1]", "", {"mercurylb.io/address-conflicts": None}),
        ("[1]", "[1]", None),
        ("", "", None),
    ],
)
def test_the_annotation_about_conflicts_is_all_that_is_touched(
    before: str, wanted: str, patch: dict[str, str | None] | None
) -> None:
    """It comes and goes by a patch that names nothing else, and other annotations stay."""
    item = status_object("l2-a")
    annotations = {"example.com/mine": "x"} | (
        {"mercurylb.io/address-conflicts": before} if before else {}
    )
    metadata = msgspec.structs.replace(item.metadata, annotations=annotations)
    item = msgspec.structs.replace(item, metadata=metadata)
    announced = msgspec.structs.replace(WEB, conflicts=wanted)
    operations = list(diff((announced,), (item,), author=AUTHOR).values())
    assert [msgspec.json.decode(operation.body) for operation in operations] == (
        [] if patch is None else [{"metadata": {"annotations": patch}}]
    )

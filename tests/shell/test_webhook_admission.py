"""What the webhooks say to whom, beside an API server that is well or not."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any

import pytest

from mercurylb.errors import ApiError, Unreachable, WireError
from mercurylb.kube.kinds import BFD_PROFILES, BGP_PEERS, COMMUNITIES, IP_ADDRESS_POOLS
from mercurylb.webhook import conversion
from mercurylb.webhook.admission import KINDS, AdmissionDesk

Json = dict[str, Any]
HOME = "metallb"


class Reader:
    """Gives lists of existing objects in pages of two, or fails."""

    def __init__(self, **objects: list[Json]) -> None:
        self.objects = objects
        self.asked: Counter[tuple[str, str]] = Counter()
        self.failure: Exception | None = None
        self.delay_s = 0.0

    async def list_page(self, resource: Any, namespace: str, params: Any, **_options: Any) -> bytes:
        """Give a page."""
        self.asked[resource.plural, namespace] += 1
        await asyncio.sleep(self.delay_s)
        if self.failure is not None:
            raise self.failure
        items = self.objects.get(resource.plural, [])
        start = int(params.get("continue", 0))
        more = str(start + 2) if start + 2 < len(items) else ""
        page = {"metadata": {"continue": more}, "items": items[start : start + 2]}
        return json.dumps(page).encode()


def pool(name: str, *ranges: str, namespace: str = HOME) -> Json:
    """Make a pool."""
    return {
        "apiVersion": "metallb.io/v1beta1",
        "kind": "IPAddressPool",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"addresses": list(ranges)},
    }


def review(kind: str, operation: str, *, new: Any = None, old: Any = None) -> bytes:
    """Make a question as the API server writes it."""
    request = {
        "uid": "u1",
        "kind": {"group": "metallb.io", "version": "v1", "kind": kind},
        "operation": operation,
        "namespace": HOME,
        "name": "asked",
        "object": new,
        "oldObject": old,
    }
    return json.dumps(
        {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
    ).encode()


async def ask(reader: Reader, resource: Any, body: bytes, *, patience_s: float = 5.0) -> Json:
    """Give the response to a question."""
    client: Any = reader
    desk = AdmissionDesk(client, namespace=HOME, backend="native")
    answer: Json = json.loads(await desk.answer(resource, body, patience_s))["response"]
    assert answer["uid"] == "u1"
    return answer


@pytest.mark.rule("config-11.1.live", "config-11.1.replace")
async def test_existing_objects_are_read_at_the_time_of_the_question() -> None:
    """All pages of the one namespace; the changed object replaces the one of its name."""
    reader = Reader(ipaddresspools=[pool(f"p{i}", f"10.0.{i}.0/24") for i in range(5)])
    new = pool("new", "10.0.4.7/32")
    denied = await ask(reader, IP_ADDRESS_POOLS, review("IPAddressPool", "CREATE", new=new))
    assert denied["allowed"] is False
    assert denied["status"]["code"] == 403
    assert "overlaps" in denied["status"]["message"]
    assert reader.asked["ipaddresspools", HOME] == 3
    assert {namespace for _, namespace in reader.asked} <= {HOME, ""}
    changed = pool("p4", "10.0.4.0/25")
    body = review("IPAddressPool", "UPDATE", new=changed, old=reader.objects["ipaddresspools"][4])
    assert (await ask(reader, IP_ADDRESS_POOLS, body))["allowed"] is True


async def test_what_cannot_be_read_among_them_is_left_out() -> None:
    """One broken object does not stop the whole cluster's configuration."""
    broken = {"metadata": {"name": "b", "namespace": HOME}, "spec": {"addresses": 7}}
    reader = Reader(ipaddresspools=[broken, pool("p", "10.0.0.0/24")])
    new = pool("new", "10.1.0.0/24")
    answer = await ask(reader, IP_ADDRESS_POOLS, review("IPAddressPool", "CREATE", new=new))
    assert answer["allowed"] is True


@pytest.mark.rule("config-11.1.undecodable")
@pytest.mark.parametrize(
    ("kind", "operation", "objects", "message"),
    [
        ("IPAddressPool", "CREATE", {"new": {"spec": {"addresses": 7}}}, "cannot be read"),
        ("IPAddressPool", "CREATE", {"new": [1]}, "cannot be read"),
        ("IPAddressPool", "CREATE", {"new": None}, "request.object is missing"),
        ("IPAddressPool", "UPDATE", {"old": {}}, "request.object is missing"),
        ("IPAddressPool", "UPDATE", {"new": {}, "old": 7}, "request.oldObject cannot be read"),
        ("IPAddressPool", "DELETE", {}, "request.oldObject is missing"),
        ("IPAddressPool", "CONNECT", {"new": {}}, "operation 'CONNECT'"),
        ("IPAddressPool", "", {"new": {}}, "operation ''"),
        ("Service", "CREATE", {"new": {}}, "asked about a Service here"),
        ("", "CREATE", {"new": {}}, "asked about a nothing here"),
    ],
)
async def test_what_is_no_object_of_ours_is_an_error(
    kind: str, operation: str, objects: dict[str, Any], message: str
) -> None:
    """Answered as a bad request, in the review, without reading anything."""
    reader = Reader()
    answer = await ask(reader, IP_ADDRESS_POOLS, review(kind, operation, **objects))
    assert answer["allowed"] is False
    assert answer["status"]["code"] == 400
    assert message in answer["status"]["message"]
    assert not reader.asked


@pytest.mark.parametrize(
    "failure",
    [
        Unreachable("refused"),
        ApiError(503, "ServiceUnavailable", "busy", retry_after_s=1.0),
        WireError("list", "not a list"),
    ],
)
async def test_a_failed_read_is_a_clear_refusal(failure: Exception) -> None:
    """Nothing is let through that could not be judged."""
    reader = Reader()
    reader.failure = failure
    body = review("IPAddressPool", "CREATE", new=pool("a", "10.0.0.0/24"))
    answer = await ask(reader, IP_ADDRESS_POOLS, body)
    assert answer["allowed"] is False
    assert answer["status"]["code"] == 503
    assert "could not be read, try again" in answer["status"]["message"]


async def test_a_slow_read_is_refused_in_time() -> None:
    """The API server hears why before it gives up."""
    reader = Reader()
    reader.delay_s = 60.0
    body = review("IPAddressPool", "CREATE", new=pool("a", "10.0.0.0/24"))
    async with asyncio.timeout(5):
        answer = await ask(reader, IP_ADDRESS_POOLS, body, patience_s=0.02)
    assert answer["status"]["code"] == 503
    assert "no answer within" in answer["status"]["message"]


@pytest.mark.rule("config-11.1.bfd-delete")
async def test_only_what_the_decision_wants_is_read() -> None:
    """A profile's end needs the peers, a community its like, a pool's end nothing."""
    for resource, body, kinds in (
        (BFD_PROFILES, review("BFDProfile", "DELETE", old={}), {"bgppeers"}),
        (COMMUNITIES, review("Community", "CREATE", new={}), {"communities"}),
        (IP_ADDRESS_POOLS, review("IPAddressPool", "DELETE", old={}), set()),
    ):
        reader = Reader()
        await ask(reader, resource, body)
        assert {plural for plural, _ in reader.asked} == kinds


@pytest.mark.rule("config-11.1.disable-mp")
async def test_a_warning_comes_with_the_yes() -> None:
    """The API server shows it to whoever created the peer."""
    peer = {"metadata": {"name": "p", "namespace": "anywhere"}, "spec": {"disableMP": True}}
    answer = await ask(Reader(), BGP_PEERS, review("BGPPeer", "CREATE", new=peer))
    assert answer["allowed"] is True
    assert answer["warnings"] == [
        "disable mp is deprecated and has no effect since it's the default behavior now"
    ]


@pytest.mark.rule("config-11.webhooks")
def test_paths() -> None:
    """The paths of the original, each for its kind."""
    assert {path.rpartition("-")[2]: resource.kind for path, resource in KINDS.items()} == {
        resource.kind.lower(): resource.kind for resource in KINDS.values()
    }
    for path, resource in KINDS.items():
        assert path == f"/validate-metallb-io-{resource.version}-{resource.kind.lower()}"


# --- conversion -------------------------------------------------------------------------------


def peer(version: str, **spec: Any) -> Json:
    """Make a peer."""
    return {
        "apiVersion": f"metallb.io/{version}",
        "kind": "BGPPeer",
        "metadata": {"name": "p", "labels": {"a": "b"}},
        "spec": {"myASN": 1, "peerASN": 2, "peerAddress": "192.0.2.1", **spec},
    }


async def convert(*objects: Any, to: str = "metallb.io/v1beta2") -> Json:
    """Give the response to a conversion."""
    body = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "ConversionReview",
        "request": {"uid": "u1", "desiredAPIVersion": to, "objects": objects},
    }
    answer: Json = json.loads(await conversion.convert(json.dumps(body).encode(), 1.0))
    return dict(answer["response"])


@pytest.mark.rule("api-3.3.webhook")
async def test_every_object_is_converted_in_order() -> None:
    """A long list comes back as long, each with its metadata."""
    answer = await convert(*(peer("v1beta1", peerPort=port) for port in range(1, 251)))
    assert answer["result"] == {"status": "Success"}
    ports = [item["spec"]["peerPort"] for item in answer["convertedObjects"]]
    assert ports == list(range(1, 251))
    first = answer["convertedObjects"][0]
    assert first["apiVersion"] == "metallb.io/v1beta2"
    assert first["metadata"] == {"name": "p", "labels": {"a": "b"}}


@pytest.mark.rule("api-3.3.webhook")
@pytest.mark.parametrize(
    ("objects", "to", "message"),
    [
        ([peer("v1beta1"), peer("v1beta1", peerPort="x")], "metallb.io/v1beta2", "objects[1] p: "),
        ([peer("v1beta3")], "metallb.io/v1beta2", "objects[0] p: apiVersion"),
        ([peer("v1beta1")], "metallb.io/v9", "to_version"),
        ([7], "metallb.io/v1beta2", "objects[0]: "),
        ([{"kind": "BGPPeer"}], "metallb.io/v1beta2", "objects[0] : "),
    ],
)
async def test_one_that_cannot_be_converted_fails_all(
    objects: list[Any], to: str, message: str
) -> None:
    """The answer names which one and why, and holds no half of the work."""
    answer = await convert(*objects, to=to)
    assert answer["result"]["status"] == "Failed"
    assert message in answer["result"]["message"]
    assert answer["convertedObjects"] == []

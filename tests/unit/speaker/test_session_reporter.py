"""BGPSession objects say how sessions stand, seldom enough to be no burden."""

from __future__ import annotations

import asyncio
import time
from typing import Any, cast

import msgspec
import pytest

from mercurylb.api.bgp_session import BGPSession
from mercurylb.api.meta import OwnerReference
from mercurylb.bgp.report import SessionReport
from mercurylb.errors import NotFound
from mercurylb.kube.operation import Operation, Verb
from mercurylb.kube.reflector import Applied, Deleted, Restarted
from mercurylb.speaker.l2_status import Author
from mercurylb.speaker.session_reporter import (
    LOOK_INTERVAL_S,
    WRITE_INTERVAL_S,
    SessionReporter,
    object_name,
)

OWNER = OwnerReference("v1", "Pod", "speaker-n1", "uid-1")
NAME = object_name("n1", "tor")
KEY = f"metallb/{NAME}"
RFC3339 = "%Y-%m-%dT%H:%M:%SZ"
IDLE = SessionReport("tor", "10.0.0.1:179", "Active", 4.0, asn=64512, last_error="refused")
UP = msgspec.structs.replace(
    IDLE,
    state="Established",
    since_s=2.0,
    peer_asn=64513,
    prefixes_sent=3,
    families=("ipv4",),
    hold_time_s=90,
    bfd="Up",
)


class WatchedError(Exception):
    """The watch has begun."""


class Scene:
    """A reporter with an API server that only remembers."""

    def __init__(self, *, is_installed: bool = True) -> None:
        self.now = 100.0
        self.writes: list[tuple[str, Operation]] = []
        self.busy = False
        self.reporter = SessionReporter(
            cast("Any", self),
            author=Author(node="n1", namespace="metallb", pod=OWNER),
            clock=lambda: self.now,
            wall_clock=lambda: self.now,
        )
        if is_installed:
            self.reporter.store.apply(Restarted({}, ()))

    def is_busy(self, key: str) -> bool:
        del key
        return self.busy

    def submit(self, key: str, operation: Operation) -> None:
        self.writes.append((key, operation))

    def step(self, *reports: SessionReport, later_s: float = WRITE_INTERVAL_S) -> list[Any]:
        """Report after a while; give verb, subresource and body of what is written."""
        self.now += later_s
        self.writes.clear()
        self.reporter.step(reports)
        return [
            (
                operation.verb,
                operation.subresource,
                msgspec.json.decode(operation.body) if operation.body else operation.name,
            )
            for _, operation in self.writes
        ]

    def echo(self, written: list[Any]) -> None:
        """Let the API server do what was written, and the watch bring it."""
        for verb, subresource, body in written:
            if verb is Verb.DELETE:
                self.reporter.store.apply(Deleted(f"metallb/{body}"))
                continue
            key = f"metallb/{body['metadata']['name']}"
            before = self.reporter.store.get(key)
            document: dict[str, Any] = msgspec.to_builtins(before) if before else {}
            if subresource:
                document["status"] = body["status"]
            else:
                document["metadata"] = body["metadata"]
            self.reporter.store.apply(Applied(key, msgspec.convert(document, BGPSession)))

    def settle(self, *reports: SessionReport) -> None:
        """Report until nothing is left to be written."""
        for _ in range(4):
            written = self.step(*reports)
            if not written:
                return
            self.echo(written)
        raise AssertionError("it never comes to rest")


def test_an_object_says_how_the_session_stands() -> None:
    """First it is made with labels and owner, then its status is written."""
    scene = Scene()
    ((verb, subresource, body),) = first = scene.step(UP)
    assert (verb, subresource) == (Verb.APPLY, None)
    assert body == {
        "apiVersion": "mercurylb.io/v1alpha1",
        "kind": "BGPSession",
        "metadata": {
            "name": NAME,
            "namespace": "metallb",
            "labels": {"metallb.io/node": "n1", "mercurylb.io/peer": "tor"},
            "ownerReferences": [msgspec.to_builtins(OWNER)],
        },
    }
    scene.echo(first)
    ((verb, subresource, body),) = scene.step(UP)
    assert (verb, subresource) == (Verb.APPLY, "status")
    assert body["status"] == {
        "node": "n1",
        "peer": "tor",
        "address": "10.0.0.1:179",
        "state": "Established",
        "since": "1970-01-01T00:01:44Z",
        "bfd": "Up",
        "prefixes": 3,
        "myASN": 64512,
        "peerASN": 64513,
        "holdTime": 90,
        "families": ["ipv4"],
    }


def test_what_is_said_already_is_not_written_again() -> None:
    """Not by a new speaker either, whose clock says nearly the same."""
    scene = Scene()
    scene.settle(UP)
    later = msgspec.structs.replace(UP, since_s=scene.now + 3.0 - 104.0)
    assert scene.step(later) == []
    again = msgspec.structs.replace(UP, since_s=1.0)
    ((_, _, body),) = scene.step(again, later_s=60.0)
    assert body["status"]["since"] == time.strftime(RFC3339, time.gmtime(scene.now - 1.0))


def test_a_session_that_is_not_up_tells_why_and_since_when() -> None:
    """Attempts that fail one after the other do not count as changes of the time."""
    scene = Scene()
    scene.settle(UP)
    ((_, _, body),) = written = scene.step(IDLE)
    assert body["status"]["state"] == "Active"
    assert body["status"]["reason"] == "refused"
    scene.echo(written)
    since = body["status"]["since"]
    ((_, _, body),) = scene.step(msgspec.structs.replace(IDLE, state="Connect", since_s=0.0))
    assert body["status"]["since"] == since


def test_writes_are_bounded() -> None:
    """A session that changes at every look is written now and then, with its last state."""
    scene = Scene()
    scene.settle(UP)
    count = 0
    for number in range(20):
        report = msgspec.structs.replace(UP, prefixes_sent=number)
        written = scene.step(report, later_s=WRITE_INTERVAL_S / 10)
        count += len(written)
        scene.echo(written)
    assert 1 <= count <= 3
    scene.settle(msgspec.structs.replace(UP, prefixes_sent=19))
    item = scene.reporter.store.get(KEY)
    assert item is not None
    assert item.status is not None
    assert item.status.prefixes == 19


def test_a_peer_that_is_gone_takes_its_object_along() -> None:
    """So does one that a former configuration had."""
    scene = Scene()
    scene.settle(UP)
    assert scene.step() == [(Verb.DELETE, None, NAME)]


def test_a_new_pod_takes_the_objects_over() -> None:
    """Or they would be collected with the pod that wrote them."""
    scene = Scene()
    scene.settle(UP)
    item = scene.reporter.store.get(KEY)
    assert item is not None
    old = msgspec.structs.replace(OWNER, uid="uid-0")
    metadata = msgspec.structs.replace(item.metadata, owner_references=(old,))
    foreign = msgspec.structs.replace(item, metadata=metadata)
    scene.reporter.store.apply(Applied(KEY, foreign))
    ((verb, subresource, body),) = scene.step(UP)
    assert (verb, subresource) == (Verb.APPLY, None)
    assert body["metadata"]["ownerReferences"] == [msgspec.to_builtins(OWNER)]


def test_nothing_is_written_while_something_is() -> None:
    """The answer comes first."""
    scene = Scene()
    scene.busy = True
    assert scene.step(UP) == []


def test_without_the_kind_nothing_is_written() -> None:
    """Whoever did not install it does without."""
    assert Scene(is_installed=False).step(UP) == []


def test_the_kind_may_be_installed_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is looked for now and then, and watched once it is there."""
    looks: list[str] = []
    slept: list[float] = []

    class Client:
        async def list_page(self, *arguments: object, **_options: object) -> bytes:
            looks.append(str(arguments[1]))
            if len(looks) < 3:
                raise NotFound(404, "NotFound", "the server could not find the resource")
            if len(looks) > 3:
                raise WatchedError
            return b"{}"

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    scene = Scene(is_installed=False)
    with pytest.raises(WatchedError):
        asyncio.run(scene.reporter.run(cast("Any", Client()), random=cast("Any", None)))
    assert slept == [LOOK_INTERVAL_S] * 2


@pytest.mark.parametrize(
    ("one", "other"), [(("a-b", "c"), ("a", "b-c")), (("n" * 300, "p"), ("n" * 301, "p"))]
)
def test_names_of_objects_do_not_collide(one: tuple[str, str], other: tuple[str, str]) -> None:
    """Whatever the names of node and peer run together to."""
    names = object_name(*one), object_name(*other)
    assert names[0] != names[1]
    assert max(map(len, names)) < 253

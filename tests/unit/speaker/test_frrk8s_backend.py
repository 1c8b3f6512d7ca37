"""The `frr-k8s` backend: what it writes, when, and what it makes of the answers."""

from __future__ import annotations

import asyncio
import json
import random
from typing import TYPE_CHECKING, Any, cast

import msgspec
import pytest

from mercurylb.errors import ApiError
from mercurylb.frr.session_state import BGPSessionState
from mercurylb.kube.operation import Operation, Verb
from mercurylb.kube.reflector import Applied, Deleted, Restarted
from mercurylb.kube.writer import Outcome, Result
from mercurylb.plan.bgp_wanted import BgpWanted
from mercurylb.speaker.frrk8s_backend import DEBOUNCE_S, FRRConfiguration, FrrK8sBackend
from mercurylb.telemetry import logs as log
from tests.unit.frr.cases import peer

if TYPE_CHECKING:
    from collections.abc import Callable

    from mercurylb.kube.client import KubeClient
    from mercurylb.kube.writer import Writer

KEY = "there/metallb-n1"
SIX = "2001-0db8-0000-0000-0000-0000-0000-0001"


class Server:
    """A writer that answers as an API server would, when the test says so."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self._answers: list[Callable[[Outcome], None]] = []
        self.version = 0

    def submit(self, _key: str, operation: Operation, answer: Callable[[Outcome], None]) -> None:
        """Take an operation."""
        self.operations.append(operation)
        self._answers.append(answer)

    def stored(self, **more: Any) -> bytes:
        """Give what became of the last operation: defaults are filled in."""
        body = json.loads(self.operations[-1].body)
        self.version += 1
        body["metadata"] |= {"uid": "u", "resourceVersion": str(self.version)}
        body["spec"] |= {"raw": {"priority": 5}} | more
        return json.dumps(body).encode()

    def answer(self, result: Result = Result.DONE, body: bytes | None = None) -> None:
        """Answer the last operation."""
        operation = self.operations[-1]
        body = self.stored() if result is Result.DONE and body is None else (body or b"")
        error = None if result is Result.DONE else ApiError(422, "Invalid", "no")
        self._answers.pop()(Outcome("k", operation, result, body, error))


class Scene:
    """A backend whose stores are filled by the test."""

    def __init__(self) -> None:
        self.server = Server()
        self.backend = FrrK8sBackend(
            cast("KubeClient", None),
            cast("Writer", self.server),
            node="n1",
            namespace="there",
            passes_secrets=False,
            random=random.Random(1),
        )

    def list(self, body: bytes = b"") -> None:
        """Say what there is."""
        objects = {KEY: msgspec.json.decode(body, type=FRRConfiguration)} if body else {}
        self.backend._found.apply(Restarted(objects, ()))
        self.look()

    def show(self, body: bytes = b"") -> None:
        """Say what there is by now."""
        made = Deleted(KEY)
        self.backend._found.apply(
            Applied(KEY, msgspec.json.decode(body, type=FRRConfiguration)) if body else made
        )
        self.look()

    def look(self) -> None:
        """Have the backend look at its store."""
        self.backend._observe(self.backend._found.get(KEY))

    async def want(self, *peers: Any) -> None:
        """Want peers, and wait for the debounce."""
        self.backend.apply(BgpWanted(peers))
        await asyncio.sleep(DEBOUNCE_S * 1.5)


@pytest.mark.rule("bgp-frr-B3.restart", "bgp-frr-B3.create")
async def test_nothing_is_written_before_both_sides_are_known() -> None:
    """Neither without a wish nor before it is known what there is."""
    scene = Scene()
    await scene.want(peer())
    assert scene.server.operations == []
    scene.list()
    (operation,) = scene.server.operations
    assert operation.verb is Verb.CREATE
    assert (operation.namespace, operation.name) == ("there", "")
    other = Scene()
    other.list(scene.server.stored())
    assert other.server.operations == []


@pytest.mark.rule("bgp-frr-B3.debounce")
async def test_wishes_that_come_together_are_one_write() -> None:
    """With the last of them; an equal one is none."""
    scene = Scene()
    scene.list()
    for number in range(1, 5):
        scene.backend.apply(BgpWanted((peer(peer_asn=number),)))
    await scene.want(peer(peer_asn=5))
    (operation,) = scene.server.operations
    assert b'"asn":5,' in operation.body
    scene.server.answer()
    await scene.want(peer(peer_asn=5))
    assert len(scene.server.operations) == 1


@pytest.mark.rule("bgp-frr-B3.defaults", "bgp-frr-B3.change")
async def test_what_the_server_made_of_a_write_counts_as_wanted() -> None:
    """Another spec than that is replaced, under the version that was seen."""
    scene = Scene()
    scene.list()
    await scene.want(peer())
    body = scene.server.stored()
    scene.server.answer(body=body)
    scene.show(body)
    assert len(scene.server.operations) == 1
    scene.show(scene.server.stored(bgp={}))
    assert scene.server.operations[-1].verb is Verb.REPLACE
    assert scene.server.operations[-1].name == "metallb-n1"
    assert b'"resourceVersion":"2"' in scene.server.operations[-1].body
    await scene.want(peer(peer_asn=9))
    assert len(scene.server.operations) == 2, "one write at a time"
    scene.server.answer()
    assert len(scene.server.operations) == 3
    assert b'"asn":9,' in scene.server.operations[-1].body


async def test_a_watch_that_lags_behind_is_not_believed() -> None:
    """What is older than the answer of the last write is no news."""
    scene = Scene()
    scene.list()
    await scene.want(peer())
    old = scene.server.stored()
    scene.server.answer()
    scene.show(old.replace(b"64600", b"1"))
    assert len(scene.server.operations) == 1


@pytest.mark.rule("bgp-frr-B3.watch")
async def test_a_deleted_object_is_made_again() -> None:
    """Whether the watch says so or the answer of a write."""
    scene = Scene()
    scene.list()
    await scene.want(peer())
    scene.server.answer()
    scene.show()
    assert [operation.verb for operation in scene.server.operations] == [Verb.CREATE] * 2
    scene.server.answer()
    await scene.want(peer(peer_asn=9))
    assert scene.server.operations[-1].verb is Verb.REPLACE
    scene.server.answer(Result.VANISHED)
    assert scene.server.operations[-1].verb is Verb.CREATE


async def test_a_conflict_is_looked_at_again_soon() -> None:
    """By then the watch may have shown what is there."""
    scene = Scene()
    scene.list()
    await scene.want(peer())
    body = scene.server.stored(bgp={})
    scene.server.answer(Result.CONFLICT)
    scene.show(body)
    await asyncio.sleep(DEBOUNCE_S * 1.5)
    assert scene.server.operations[-1].verb is Verb.REPLACE


@pytest.mark.rule("bgp-frr-B3.refused")
async def test_a_refusal_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """And tried again later, at once with another wish."""
    scene = Scene()
    scene.list()
    await scene.want(peer())
    scene.server.answer(Result.REFUSED)
    line = capsys.readouterr().out
    assert '"event":"frr.configuration_write_refused"' in line
    assert "422 Invalid: no" in line


@pytest.mark.rule("bgp-frr-B3.retracted")
async def test_passwords_are_not_in_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    """What is wanted is shown with debugging, without them."""
    log.configure(log.Level.DEBUG)
    try:
        await Scene().want(peer(password="open-sesame"))
    finally:
        log.configure(log.Level.INFO)
    line = capsys.readouterr().out
    assert "frr.configuration_wanted" in line
    assert "192.0.2.1" in line
    assert "sesame" not in line


async def test_what_the_object_cannot_say_leaves_it_as_it_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Extra lines have no place in it."""
    scene = Scene()
    scene.list()
    scene.backend.apply(BgpWanted((peer(),), extras="agentx"))
    await asyncio.sleep(DEBOUNCE_S * 1.5)
    assert scene.server.operations == []
    assert "extra info not supported in frr-k8s mode" in capsys.readouterr().out


@pytest.mark.rule("bgp-frr-B5.read")
async def test_states_of_sessions_come_under_the_names_of_peers() -> None:
    """Those of strangers are skipped, and a BFD session that there is not is empty."""
    scene = Scene()
    await scene.want(peer(), peer("2001:db8::1", name="six", vrf="red"))
    texts = (
        '{"peer":"192.0.2.1","bgpStatus":"Established","bfdStatus":"Up"}',
        f'{{"peer":"{SIX}","vrf":"red","bgpStatus":"Active","bfdStatus":"N/A"}}',
        '{"peer":"192.0.2.1","vrf":"blue","bgpStatus":"Idle"}',
    )
    states = {
        str(number): msgspec.json.decode(f'{{"status":{text}}}', type=BGPSessionState)
        for number, text in enumerate((*texts, "null"))
    }
    scene.backend._states.apply(Restarted(states, ()))
    found = [(r.name, r.peer, r.state, r.bfd, r.vrf) for r in scene.backend.observe()]
    assert found == [
        ("router", "192.0.2.1", "Established", "Up", ""),
        ("six", "2001:db8::1", "Active", "", "red"),
    ]

"""The keeper of the certificate among replicas, refusals, and people who reset what it wrote."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from mercurylb.errors import Conflict, Denied, KubeError
from mercurylb.kube.kinds import SECRETS
from mercurylb.kube.operation import Operation, Verb
from mercurylb.webhook import forge, handover, keeper
from mercurylb.webhook.keeper import CertificateKeeper
from mercurylb.webhook.rotation import CA_CERT, DAY_S, KEYS, TLS_CERT, Answer, Material, Question
from mercurylb.webhook.target import (
    CONFIGURATION_NAME,
    CONFIGURATIONS,
    DEFINITION_NAME,
    DEFINITIONS,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

SECRET = "metallb-webhook-cert"
Json = dict[str, Any]


class Cluster:
    """The three objects a keeper sees, as an API server keeps them."""

    def __init__(self) -> None:
        self.version = 100
        self.objects: dict[str, Json] = {}
        self.refusals: dict[str, KubeError] = {}
        self.writes: list[Operation] = []
        self._changed = asyncio.Condition()
        self._events: list[tuple[int, str, Json]] = []

    async def put(self, plural: str, item: Json | None) -> None:
        """Set an object, or remove it."""
        self.version += 1
        before = self.objects.pop(plural, None)
        kind = "DELETED" if item is None else "ADDED" if before is None else "MODIFIED"
        shown = json.loads(json.dumps(item or before))
        shown["metadata"]["resourceVersion"] = str(self.version)
        if item is not None:
            self.objects[plural] = shown
        self._events.append((self.version, plural, {"type": kind, "object": shown}))
        async with self._changed:
            self._changed.notify_all()

    # --- what a client has -------------------------------------------------------------------

    async def list_page(self, resource: Any, *_args: Any, **_options: Any) -> bytes:
        """Give the one object of a kind, if it is there."""
        self._refuse(resource.plural)
        found = self.objects.get(resource.plural)
        meta = {"resourceVersion": str(self.version)}
        return json.dumps({"metadata": meta, "items": [found] if found else []}).encode()

    @asynccontextmanager
    async def stream(
        self, path: str, params: Mapping[str, str], **_options: Any
    ) -> AsyncIterator[Any]:
        """Tell every later change of a kind."""
        cluster, plural = self, path.rpartition("/")[2]
        self._refuse(plural)

        class Stream:
            since = int(params["resourceVersion"])

            async def read(self) -> bytes:
                while True:
                    for version, about, event in list(cluster._events):
                        if version > self.since and about == plural:
                            self.since = version
                            return json.dumps(event).encode() + b"\n"
                    async with cluster._changed:
                        await cluster._changed.wait()

        yield Stream()

    async def perform(self, operation: Operation, **_options: Any) -> bytes:
        """Take a patch of what the keeper knows, nothing else."""
        plural = operation.resource.plural
        self._refuse(f"write {plural}")
        item = json.loads(json.dumps(self.objects[plural]))
        patch = json.loads(operation.body)
        if patch["metadata"]["resourceVersion"] != item["metadata"]["resourceVersion"]:
            raise Conflict(409, "Conflict", "changed")
        self.writes.append(operation)
        if plural == SECRETS.plural:
            assert operation.verb is Verb.MERGE
            item["data"] = (item.get("data") or {}) | patch["data"]
        elif plural == CONFIGURATIONS.plural:
            assert [hook["name"] for hook in patch["webhooks"]] == ["a", "b"]
            item["webhooks"] = patch["webhooks"]
        else:
            item["spec"]["conversion"]["webhook"] |= patch["spec"]["conversion"]["webhook"]
        await self.put(plural, item)
        return b"{}"

    def _refuse(self, what: str) -> None:
        if what in self.refusals:
            raise self.refusals[what]

    # --- what tests look at --------------------------------------------------------------------

    def contents(self) -> dict[str, bytes]:
        """Give what the secret holds."""
        data = self.objects[SECRETS.plural].get("data") or {}
        return {key: base64.b64decode(data.get(key, "")) for key in KEYS}

    def bundles(self) -> set[str]:
        """Give what all fields hold, as text."""
        hooks = self.objects[CONFIGURATIONS.plural]["webhooks"]
        webhook = self.objects[DEFINITIONS.plural]["spec"]["conversion"]["webhook"]
        configs = [hook["clientConfig"] for hook in hooks] + [webhook["clientConfig"]]
        return {base64.b64decode(config.get("caBundle", "")).decode() for config in configs}


def secret(contents: Mapping[str, bytes] | None = None) -> Json:
    """Make the secret."""
    data = {key: base64.b64encode(value).decode() for key, value in (contents or {}).items()}
    return {"metadata": {"name": SECRET, "namespace": "metallb"}, "data": data}


def hooks() -> Json:
    """Make the configuration as the chart does."""
    return {
        "metadata": {"name": CONFIGURATION_NAME},
        "webhooks": [{"name": name, "clientConfig": {}} for name in "ab"],
    }


def definition() -> Json:
    """Make the definition as the chart does."""
    conversion = {"strategy": "Webhook", "webhook": {"clientConfig": {}}}
    return {"metadata": {"name": DEFINITION_NAME}, "spec": {"conversion": conversion}}


async def forged(question: Question) -> Answer:
    """Ask in this process."""
    return await asyncio.to_thread(forge.answer, question)


class Replica:
    """A keeper, and what it served one after the other."""

    def __init__(self, cluster: Any, *, clock: Callable[[], float] = time.time) -> None:
        self.served: list[Material] = []
        self.keeper = CertificateKeeper(
            cluster,
            namespace="metallb",
            secret_name=SECRET,
            dns_name="hook.metallb.svc",
            serve=self.served.append,
            random=random.Random(1),
            ask=forged,
            clock=clock,
        )


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short keys and short waits."""
    monkeypatch.setattr(forge, "RSA_BITS", 1024)
    monkeypatch.setattr(handover, "SETTLE_S", 0.05)
    monkeypatch.setattr(handover, "LINGER_S", 0.2)
    monkeypatch.setattr(keeper, "INJECT_INTERVAL_S", 0.02)


@pytest.fixture
async def cluster() -> Cluster:
    """Give a cluster as the chart leaves it: an empty secret, no authority anywhere."""
    made = Cluster()
    await made.put(SECRETS.plural, secret())
    await made.put(CONFIGURATIONS.plural, hooks())
    await made.put(DEFINITIONS.plural, definition())
    return made


@pytest.mark.rule("config-11.3.secret", "config-11.3.injection")
@pytest.mark.rule("api-10.secret-webhook")
async def test_from_an_empty_secret_to_trust(cluster: Cluster, background: Any, until: Any) -> None:
    """The secret is filled, the pair is served, every field holds the authority: one write each."""
    replica = Replica(cluster)
    async with background(replica.keeper.run()):
        await until(lambda: cluster.bundles() == {cluster.contents()[CA_CERT].decode()} != {""})
        assert replica.served[-1].pair.startswith(cluster.contents()[TLS_CERT].rstrip())
        assert replica.keeper.problem == ""
        await asyncio.sleep(0.05)
    assert [write.resource.plural for write in cluster.writes] == [
        SECRETS.plural,
        DEFINITIONS.plural,
        CONFIGURATIONS.plural,
    ]
    assert len(replica.served) == 1


@pytest.mark.rule("config-11.3.replicas")
async def test_replicas_end_up_with_one_authority(
    cluster: Cluster, background: Any, until: Any
) -> None:
    """Three that start at once over an empty secret serve the same pair; one write succeeded."""
    replicas = [Replica(cluster) for _ in range(3)]
    async with background(*(replica.keeper.run() for replica in replicas)):
        await until(lambda: all(replica.served for replica in replicas))
        await until(lambda: cluster.bundles() == {cluster.contents()[CA_CERT].decode()})
    assert len({replica.served[-1].pair for replica in replicas}) == 1
    assert [w.resource.plural for w in cluster.writes].count(SECRETS.plural) == 1


def is_trusted(cluster: Cluster, pair: bytes) -> bool:
    """Tell whether every field trusts the authority of what is served."""
    from cryptography import x509  # noqa: PLC0415 (only this check)

    server = x509.load_pem_x509_certificate(pair)
    for text in cluster.bundles():
        found = x509.load_pem_x509_certificates(text.encode()) if text else []
        if not any(_signed(server, authority) for authority in found):
            return False
    return True


def _signed(server: Any, authority: Any) -> bool:
    try:
        server.verify_directly_issued_by(authority)
    except Exception:  # noqa: BLE001 (any failure is a no)
        return False
    return True


@pytest.mark.rule("config-11.3.no-window")
@pytest.mark.parametrize("how", ["emptied", "replaced", "expired"])
async def test_a_new_authority_leaves_no_window(
    cluster: Cluster, background: Any, until: Any, how: str
) -> None:
    """After every write, what is served is trusted; in the end the new authority stands alone."""
    late = [0.0]
    replica = Replica(cluster, clock=lambda: time.time() + late[0])
    async with background(replica.keeper.run()):
        await until(lambda: replica.served and is_trusted(cluster, replica.served[-1].pair))
        before = cluster.contents()
        checked = 0
        real = cluster.perform

        async def perform(operation: Operation, **options: Any) -> bytes:
            nonlocal checked
            done = await real(operation, **options)
            assert is_trusted(cluster, replica.served[-1].pair)
            checked += 1
            return done

        cluster.perform = perform  # type: ignore[method-assign]
        if how == "emptied":
            await cluster.put(SECRETS.plural, secret())
        elif how == "replaced":
            other = forge.answer(Question({}, "hook.metallb.svc", time.time())).contents
            await cluster.put(SECRETS.plural, secret(other))
        else:
            late[0] = 4000 * DAY_S
            await cluster.put(SECRETS.plural, secret(before))
        await until(lambda: cluster.contents()[CA_CERT] not in {b"", before[CA_CERT]})
        await until(lambda: cluster.bundles() == {cluster.contents()[CA_CERT].decode()})
        assert replica.served[-1].pair.startswith(cluster.contents()[TLS_CERT].rstrip())
    assert checked >= 4


@pytest.mark.rule("config-11.3.injection")
async def test_what_somebody_resets_is_injected_again(
    cluster: Cluster, background: Any, until: Any
) -> None:
    """An upgrade that renders the objects anew, and rubbish, are mended."""
    replica = Replica(cluster)
    async with background(replica.keeper.run()):
        await until(lambda: cluster.bundles() == {cluster.contents()[CA_CERT].decode()} != {""})
        wanted = cluster.bundles()
        broken = hooks()
        broken["webhooks"][0]["clientConfig"]["caBundle"] = base64.b64encode(b"rubbish").decode()
        for plural, item in ((CONFIGURATIONS.plural, broken), (DEFINITIONS.plural, definition())):
            await cluster.put(plural, item)
            assert cluster.bundles() != wanted
            await until(lambda: cluster.bundles() == wanted)


@pytest.mark.rule("config-11.3.secret-missing")
async def test_a_missing_secret_is_named_and_waited_for(
    cluster: Cluster, background: Any, until: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """The original's controller gives up; ours says what to do, once, and goes on."""
    await cluster.put(SECRETS.plural, None)
    replica = Replica(cluster)
    async with background(replica.keeper.run()):
        await until(lambda: "does not exist; create it" in replica.keeper.problem)
        assert not replica.served
        await asyncio.sleep(0.1)
        assert capsys.readouterr().out.count("does not exist") == 1
        await cluster.put(SECRETS.plural, secret())
        await until(lambda: replica.served)
        assert replica.keeper.problem == ""


async def test_a_refused_write_is_named_and_what_can_be_served_is(
    cluster: Cluster, background: Any, until: Any
) -> None:
    """Rights that are missing do not take a certificate away that is still good."""
    now = time.time()
    due = forge.answer(Question({}, "hook.metallb.svc", now - 300 * DAY_S)).contents
    await cluster.put(SECRETS.plural, secret(due))
    cluster.refusals[f"write {SECRETS.plural}"] = Denied(403, "Forbidden", "not yours")
    replica = Replica(cluster)
    async with background(replica.keeper.run()):
        await until(lambda: "not yours" in replica.keeper.problem)
        assert replica.served[0].pair.startswith(due[TLS_CERT].rstrip())
        await until(lambda: cluster.bundles() == {due[CA_CERT].decode()})
        cluster.refusals.clear()
        await until(lambda: len(replica.served) == 2)
        assert cluster.contents()[CA_CERT] == due[CA_CERT]


async def test_targets_that_may_not_be_read_do_not_keep_us_from_serving(
    cluster: Cluster, background: Any, until: Any
) -> None:
    """The first certificate is served whatever else fails."""
    denied = Denied(403, "Forbidden", "not yours")
    cluster.refusals |= {CONFIGURATIONS.plural: denied, DEFINITIONS.plural: denied}
    replica = Replica(cluster)
    async with background(replica.keeper.run()):
        await until(lambda: replica.served)


async def test_a_child_that_fails_is_asked_again(
    cluster: Cluster, background: Any, until: Any
) -> None:
    """A machine short of memory for a moment costs a moment."""
    replica = Replica(cluster)
    real, failures = replica.keeper._ask, [OSError("fork"), OSError("fork")]

    async def ask(question: Question) -> Answer:
        if failures:
            raise failures.pop()
        return await real(question)

    replica.keeper._ask = ask
    async with background(replica.keeper.run()):
        await until(lambda: replica.served)

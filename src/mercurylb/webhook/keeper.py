"""Keeps a valid certificate in the secret, serves it, and lets the API server know whom to trust.

The I/O around two pure parts: `rotation` (asked through the child) and `handover`. It watches the
secret and both targets, so that whatever somebody does to them is mended when it is seen. Nothing
that fails ends the program: it is said once, retried, and shown by the readiness check.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import time
from typing import TYPE_CHECKING, Final

from mercurylb.errors import Conflict, KubeError, MercuryError, WireError
from mercurylb.kube.backoff import Backoff
from mercurylb.kube.kinds import SECRETS
from mercurylb.kube.operation import Operation, Verb, encode
from mercurylb.kube.store import Store, Wakeup
from mercurylb.kube.watch import Selection
from mercurylb.kube.watcher import Watcher
from mercurylb.telemetry import logs as log
from mercurylb.webhook.child import ask_forge
from mercurylb.webhook.handover import Effect, Handover, Inject, Serve, Target
from mercurylb.webhook.rotation import CHECK_INTERVAL_S, KEYS, Action, Answer, Material, Question
from mercurylb.webhook.target import (
    CONFIGURATION_NAME,
    CONFIGURATIONS,
    DEFINITION_NAME,
    DEFINITIONS,
    FIELD_OWNER,
    Watched,
    injection,
    target_of,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from random import Random
    from typing import Any

    from mercurylb.api.secret import Secret
    from mercurylb.kube.client import KubeClient
    from mercurylb.kube.resource import Resource

RETRY_CAP_S: Final = 30.0
INJECT_INTERVAL_S: Final = 1.0
"""Between two writes of one target: whoever undoes ours at once must not be answered at once."""


class SecretMissingError(MercuryError):
    """There is no secret to keep the certificate in."""


class CertificateKeeper:
    """The certificate of one replica."""

    def __init__(  # noqa: PLR0913 (whose secret, for which name, and its collaborators)
        self,
        client: KubeClient,
        *,
        namespace: str,
        secret_name: str,
        dns_name: str,
        serve: Callable[[Material], None],
        random: Random,
        ask: Callable[[Question], Awaitable[Answer]] = ask_forge,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.problem = "the secret of the certificate was not read yet"
        """What is wrong, or an empty text."""
        self.handover = Handover()
        self._client = client
        self._namespace = namespace
        self._secret_name = secret_name
        self._dns_name = dns_name
        self._serve = serve
        self._random = random
        self._ask = ask
        self._clock = clock
        self._wakeup = Wakeup()
        self._watchers: list[Watcher[Any]] = []
        here = Selection(namespace=namespace, fields=f"metadata.name={secret_name}")
        self._secrets = self._watch(SECRETS, here)
        self._targets: dict[str, Store[Any]] = {
            CONFIGURATION_NAME: self._watch(CONFIGURATIONS, _named(CONFIGURATION_NAME)),
            DEFINITION_NAME: self._watch(DEFINITIONS, _named(DEFINITION_NAME)),
        }
        self._backoff = Backoff(random)
        self._known: dict[str, bytes] | None = None
        """The contents that were looked at last."""
        self._look_again_at = 0.0
        self._made: Answer | None = None
        self._said = ""
        """The last complaint, until all is well again."""
        self._inject_next: dict[str, float] = {}

    async def run(self) -> None:
        """Keep the certificate until cancelled."""
        async with asyncio.TaskGroup() as group:
            for watcher in self._watchers:
                group.create_task(watcher.run())
            group.create_task(self._keep())

    def _watch(self, resource: Resource[Any], selection: Selection) -> Store[Any]:
        store: Store[Any] = Store(self._wakeup)
        watcher = Watcher(
            self._client, resource, store, random=self._random, selection=selection, log=log
        )
        self._watchers.append(watcher)
        return store

    async def _keep(self) -> None:
        while True:
            retry_s: float | None = None
            try:
                await self._step()
                self._backoff.reset()
                self._said = ""
            except Conflict:
                log.debug("webhook.write_conflict", msg="somebody else was faster")
                retry_s = self._backoff.next_delay_s()
            except (MercuryError, OSError) as error:
                self._complain(f"the certificate cannot be kept: {error}")
                retry_s = self._backoff.next_delay_s(cap_s=RETRY_CAP_S)
            await self._wait(retry_s)

    async def _wait(self, retry_s: float | None) -> None:
        """Sleep until something changed or is due."""
        loop_now = asyncio.get_running_loop().time()
        due = [loop_now + CHECK_INTERVAL_S]
        if self._known is not None:
            due.append(loop_now + max(self._look_again_at - self._clock(), 0.0))
        due += [at for at in self._inject_next.values() if at > loop_now]
        if retry_s is not None:
            due = [loop_now + retry_s]
        elif (deadline := self.handover.next_deadline()) is not None:
            due.append(deadline)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(min(due)):
                await self._wakeup.wait()

    async def _step(self) -> None:
        """Bring secret, targets and server forward as far as they can be now."""
        now = asyncio.get_running_loop().time()
        await self._perform(self.handover.on_targets(self._seen_targets(), now))
        if self._secrets.has_synced:
            await self._look_at_secret()

    # --- the secret ---------------------------------------------------------------------------

    async def _look_at_secret(self) -> None:
        secret: Secret | None = self._secrets.get(f"{self._namespace}/{self._secret_name}")
        if secret is None:
            self._known, self._look_again_at = None, self._clock() + CHECK_INTERVAL_S
            name = f"{self._namespace}/{self._secret_name}"
            raise SecretMissingError(f"secret {name} does not exist; create it, it may be empty")
        contents = _contents(secret)
        if contents == self._known and self._clock() < self._look_again_at:
            return
        answer = await self._examined(contents)
        if answer.decision.action is Action.KEEP:
            self._known, self._look_again_at = contents, answer.decision.look_again_at
            await self._use(answer.material)
            return
        if answer.current is not None and self.handover.served is None:
            await self._use(answer.current)
        await self._write(secret, answer)

    async def _examined(self, contents: dict[str, bytes]) -> Answer:
        """Look into contents, unless they are those that were made here a moment ago."""
        made, self._made = self._made, None
        now = self._clock()
        if made is not None and made.contents == contents:
            decision = made.decision.__class__(Action.KEEP, "", now + CHECK_INTERVAL_S)
            return Answer(decision, contents, made.material)
        return await self._ask(Question(contents, self._dns_name, now))

    async def _write(self, secret: Secret, answer: Answer) -> None:
        """Write what was made; raise Conflict when another replica was faster."""
        encoded = {key: base64.b64encode(answer.contents[key]).decode() for key in KEYS}
        body = {
            "metadata": {"resourceVersion": secret.metadata.resource_version},
            "data": encoded,
        }
        log.info(
            "webhook.certificate_renewed",
            secret_name=f"{self._namespace}/{self._secret_name}",
            action=answer.decision.action.value,
            reason=answer.decision.reason,
        )
        operation = Operation(
            Verb.MERGE,
            SECRETS,
            self._secret_name,
            self._namespace,
            encode(body),
            field_manager=FIELD_OWNER,
        )
        await self._client.perform(operation)
        self._made = answer
        # The echo of the write brings the contents back; until then there is nothing to do.
        self._known = _contents(secret)
        self._look_again_at = self._clock() + RETRY_CAP_S

    async def _use(self, material: Material) -> None:
        self.problem = ""
        now = asyncio.get_running_loop().time()
        await self._perform(self.handover.on_material(material, now))

    # --- the targets --------------------------------------------------------------------------

    def _seen_targets(self) -> dict[str, Target | None]:
        """Say what stands in each target; one that does not exist is left out."""
        seen: dict[str, Target | None] = {}
        for name, store in self._targets.items():
            item: Watched | None = store.get(name)
            if item is not None:
                seen[name] = target_of(item)
            elif not store.has_synced or name in store.problems:
                seen[name] = None
        return seen

    async def _perform(self, effects: list[Effect]) -> None:
        """Serve first: that cannot fail. Then write every target, and raise what failed."""
        for effect in effects:
            if isinstance(effect, Serve):
                self._serve(effect.material)
                if effect.is_forced:
                    log.warning(
                        "webhook.certificate_forced",
                        msg="the API server may not trust it: the new authority could not be "
                        "seen in every object that names it",
                    )
        failed: KubeError | WireError | None = None
        for effect in effects:
            if isinstance(effect, Inject):
                try:
                    await self._inject(effect)
                except (KubeError, WireError) as error:
                    failed = error
        if failed is not None:
            raise failed

    async def _inject(self, effect: Inject) -> None:
        item: Watched | None = self._targets[effect.target].get(effect.target)
        now = asyncio.get_running_loop().time()
        if item is None or now < self._inject_next.get(effect.target, now):
            return
        self._inject_next[effect.target] = now + INJECT_INTERVAL_S
        await self._client.perform(injection(item, effect.bundle))
        log.info("webhook.authority_injected", target=effect.target, authorities=len(effect.bundle))

    def _complain(self, problem: str) -> None:
        self.problem = problem
        if problem != self._said:
            self._said = problem
            log.error("webhook.certificate_missing", msg=problem)


def _named(name: str) -> Selection:
    return Selection(fields=f"metadata.name={name}")


def _contents(secret: Secret) -> dict[str, bytes]:
    data = secret.data or {}
    return {key: base64.b64decode(data.get(key) or "") for key in KEYS}

"""The driver of an election, and the fence that keeps everybody but the leader from writing.

`Elector.perform` is what a writer uses in place of the client's: it sends nothing unless the lease
is valid, and cuts off what is under way when the lease runs out before the answer came. A lease
that rests is renewed first. Whoever is not the leader gets `Fenced`.

`Elector.term` is 0 for a stand-by and another number for each time we lead; whoever works for the
leader looks at it when the bell rings, and drops everything when it changed.

What cannot be fenced here: a request that the server has taken in but not carried out when its
connection is cut. It is bounded by the server's own handling of a closed connection, and each
patch of a Service names the version it is based on.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import time
from typing import TYPE_CHECKING, Protocol

from mercurylb.errors import Conflict, Denied, Fenced, KubeError, NotFound, Unreachable, WireError
from mercurylb.kube.lease import (
    LEASES,
    Announce,
    Demoted,
    Effect,
    Election,
    ElectionConfig,
    Lease,
    Promoted,
    Request,
    Role,
)
from mercurylb.kube.lease_client import LeaseClient
from mercurylb.kube.report import SILENCE, Log
from mercurylb.kube.store import Store, Wakeup
from mercurylb.kube.watch import Selection
from mercurylb.kube.watcher import Watcher

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from mercurylb.kube.client import KubeClient
    from mercurylb.kube.operation import Operation

REQUEST_TIMEOUT_S = 2.0
"""Less than the renew deadline: a request that hangs must leave time for another."""
RELEASE_TIMEOUT_S = 0.8


class Leadership(Protocol):
    """What the leader's workers need to know."""

    @property
    def term(self) -> int:
        """Give the number of the term we lead in; 0 while we do not."""

    async def perform(self, operation: Operation, *, patience_s: float | None = None) -> bytes:
        """Carry out an operation if we lead."""


class Elector:
    """Runs for one lease."""

    def __init__(  # noqa: PLR0913 (which lease, who we are, its collaborators)
        self,
        client: KubeClient,
        config: ElectionConfig,
        *,
        namespace: str,
        name: str,
        bell: Wakeup,
        random: Random,
        log: Log = SILENCE,
        wall_clock: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        self.term = 0
        self.settled = asyncio.Event()
        """Set once we know who holds the lease, or that we may not know."""
        self.log = log
        self._client = client
        self._config = config
        self._namespace = namespace
        self._name = name
        self._lease = LeaseClient(
            client, config, namespace=namespace, name=name, wall_clock=wall_clock
        )
        self._bell = bell
        self._election = Election(config, random=random, now=time.monotonic())
        self._term_count = 0
        self._store: Store[Lease] = Store()
        self._watcher = Watcher(
            client,
            LEASES,
            self._store,
            random=random,
            selection=Selection(namespace=namespace, fields=f"metadata.name={name}"),
            log=log,
        )
        self._has_work = asyncio.Event()
        self._turn = asyncio.Event()
        """Set, and replaced, whenever the lease was renewed or lost."""
        self._permits: set[asyncio.Timeout] = set()
        self._quiet = asyncio.Event()
        """Set while nothing is under way."""
        self._quiet.set()
        self._was_denied = False

    async def run(self) -> None:
        """Take part in the election until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watcher.run())
            group.create_task(self._follow())
            group.create_task(self._ask())

    async def perform(self, operation: Operation, *, patience_s: float | None = None) -> bytes:
        """Carry out an operation if we lead, waiting for a renewal first if need be.

        Raises Fenced when we do not lead, or no longer.
        """
        term = await self._await_permit()
        try:
            async with asyncio.timeout_at(self._election.may_act_until) as permit:
                self._permits.add(permit)
                self._quiet.clear()
                try:
                    return await self._client.perform(operation, patience_s=patience_s)
                finally:
                    self._permits.discard(permit)
                    if not self._permits:
                        self._quiet.set()
        except TimeoutError:
            if self.term != term:
                raise Fenced("the lease was lost before the answer came") from None
            raise Unreachable("the lease ran out before the answer came") from None

    async def release(self, *, in_flight_patience_s: float) -> None:
        """Give the lease back, so that another takes it at once; whatever goes wrong is no matter.

        Nothing new is sent from here on; what is under way may end first, within a bound.
        """
        was_leader = self._election.role is Role.LEADER
        self.term = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(in_flight_patience_s):
                await self._quiet.wait()
        version = self._election.version
        has_announced = self._election.has_announced
        self._election.on_released()
        self._end_term()
        with contextlib.suppress(KubeError, WireError, TimeoutError):
            async with asyncio.timeout(RELEASE_TIMEOUT_S):
                if was_leader:
                    if await self._lease.give_back(version):
                        self.log.info("kube.lease_released", lease=self._name)
                elif has_announced:
                    await self._lease.withdraw(version)

    # --- the fence -----------------------------------------------------------------------------

    async def _await_permit(self) -> int:
        while True:
            if self.term == 0:
                raise Fenced("another process has the lease")
            now = time.monotonic()
            was_resting = self._election.is_resting(now)
            self._election.on_wish(now)
            if was_resting:
                # Also when the last renewal covers this write: the next one needs another.
                self._has_work.set()
            if now < self._election.may_act_until:
                return self.term
            await self._turn.wait()

    def _end_turn(self) -> None:
        """Let those go on who wait for a renewal, and move the end of what is under way."""
        turn, self._turn = self._turn, asyncio.Event()
        turn.set()
        until = self._election.may_act_until
        for permit in tuple(self._permits):
            if not permit.expired():
                permit.reschedule(until)

    def _end_term(self) -> None:
        self.term = 0
        self._end_turn()
        self._bell.ring()

    # --- the conversation ----------------------------------------------------------------------

    async def _follow(self) -> None:
        """Tell the machine what the watch shows."""
        key = f"{self._namespace}/{self._name}"
        await self._store.wait_synced()
        while True:
            self._store.take_dirty()
            self._take(self._election.on_observed(self._store.get(key), time.monotonic()))
            self._has_work.set()
            await self._store.wakeup.wait()

    async def _ask(self) -> None:
        """Ask what the machine wants to know or have written, one thing at a time."""
        while True:
            self._has_work.clear()
            now = time.monotonic()
            request = self._election.next_request(now)
            if request is not None:
                await self._carry_out(request)
                continue
            deadline = self._election.next_deadline(now)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(deadline):
                    await self._has_work.wait()

    async def _carry_out(self, request: Request) -> None:
        election = self._election
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                lease = await self._lease.send(request)
        except NotFound:
            self._take(election.on_missing(time.monotonic()))
        except Conflict:
            election.on_conflict()
        except (KubeError, WireError, TimeoutError) as error:
            self._note_failure(error)
        else:
            self._was_denied = False
            self._take(self._answered(request, lease))
        if self.term or election.holder:
            self.settled.set()

    def _answered(self, request: Request, lease: Lease) -> list[Effect]:
        effects = self._election.on_answer(lease, time.monotonic())
        if isinstance(request, Announce):
            self.log.info("kube.lease_awaited", lease=self._name, holder=lease.holder)
        if self._election.role is Role.LEADER:
            self._end_turn()
        return effects

    def _note_failure(self, error: BaseException) -> None:
        is_denied = isinstance(error, Denied)
        self._election.on_failure(time.monotonic(), is_denied=is_denied)
        if is_denied:
            self.settled.set()
            if not self._was_denied:
                self.log.error(
                    "kube.lease_denied",
                    msg="nothing is done without the lease: allow create, get, list, watch and"
                    " patch of leases, or give --leader-elect=false",
                    lease=self._name,
                    error=error,
                )
        self._was_denied = is_denied

    def _take(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Promoted):
                self._term_count += 1
                self.term = self._term_count
                self.log.info(
                    "kube.lease_acquired", lease=self._name, identity=self._config.identity
                )
                self._end_turn()
                self._bell.ring()
            elif isinstance(effect, Demoted):
                self.log.warning("kube.lease_lost", lease=self._name, reason=effect.reason)
                self._end_term()


class SoleActor:
    """Leads for ever, without asking anybody: `--leader-elect=false`."""

    term = 1

    def __init__(self, client: KubeClient) -> None:
        self._client = client

    async def perform(self, operation: Operation, *, patience_s: float | None = None) -> bytes:
        """Carry out an operation."""
        return await self._client.perform(operation, patience_s=patience_s)

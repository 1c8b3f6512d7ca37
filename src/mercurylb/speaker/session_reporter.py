"""How this node's BGP sessions stand, as BGPSession objects (mercurylb.io/v1alpha1).

One object per peer, named so that a new speaker finds the one of its predecessor. What is to be
said follows from the last report, what the object says from the watch, and only a difference is
written, at most every few seconds for each peer. Where the kind is not installed nothing is said,
and now and then it is looked whether it is there by now.
"""

from __future__ import annotations

import asyncio
import calendar
import hashlib
import time
from typing import TYPE_CHECKING, Final

import msgspec

from mercurylb.api.bgp_session import NODE_LABEL, PEER_LABEL, BGPSession, BGPSessionStatus
from mercurylb.errors import KubeError
from mercurylb.kube.kinds import BGP_SESSIONS
from mercurylb.kube.operation import Operation, Verb, encode
from mercurylb.kube.store import Store, Wakeup
from mercurylb.kube.watch import Selection
from mercurylb.kube.watcher import Watcher
from mercurylb.telemetry import logs as log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from random import Random

    from mercurylb.bgp.report import SessionReport
    from mercurylb.kube.client import KubeClient
    from mercurylb.kube.writer import Writer
    from mercurylb.speaker.l2_status import Author

WRITE_INTERVAL_S: Final = 3.0
LOOK_INTERVAL_S: Final = 300.0
"""How often it is looked whether the kind is installed."""
FIELD_MANAGER: Final = "mercurylb-speaker"
SINCE_TOLERANCE_S: Final = 5.0
"""Two times that are no further apart are the same one, seen by different clocks."""
ESTABLISHED: Final = "Established"
_NAME_MAX: Final = 100
_LABEL_MAX: Final = 63
_REASON_MAX: Final = 1024


class SessionReporter:
    """Keeps the objects of this node true; call it with every report."""

    def __init__(
        self,
        writer: Writer,
        *,
        author: Author,
        wakeup: Wakeup | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.store: Store[BGPSession] = Store(wakeup)
        self._writer = writer
        self._author = author
        self._clock = clock
        self._wall_clock = wall_clock
        self._written: dict[str, float] = {}

    async def run(self, client: KubeClient, *, random: Random) -> None:
        """Watch this node's objects, from the moment on when the kind is there."""
        selection = Selection(
            namespace=self._author.namespace, labels=f"{NODE_LABEL}={self._author.node}"
        )
        while not await _is_installed(client, selection):  # noqa: ASYNC110 (nobody tells us)
            await asyncio.sleep(LOOK_INTERVAL_S)
        watcher = Watcher(
            client, BGP_SESSIONS, self.store, random=random, selection=selection, log=log
        )
        await watcher.run()

    def step(self, reports: Iterable[SessionReport]) -> None:
        """Write what is not said yet, unless something was written a moment ago."""
        self.store.take_dirty()
        if not self.store.has_synced:
            return
        wanted = {object_name(self._author.node, report.name): report for report in reports}
        for key, item in sorted(self.store.objects.items()):
            if item.metadata.name not in wanted:
                self._submit(key, self._operation(Verb.DELETE, item.metadata.name))
        for name, report in sorted(wanted.items()):
            self._put_right(name, report)
        self._forget()

    def _forget(self) -> None:
        """Keep no time that does not matter any more."""
        limit = self._clock() - WRITE_INTERVAL_S
        self._written = {part: at for part, at in self._written.items() if at > limit}

    def _put_right(self, name: str, report: SessionReport) -> None:
        key = self._key(name)
        item = self.store.get(key)
        if item is None or not self._is_ours(item, report):
            self._submit(key, self._apply_metadata(name, report))
            return
        status = self._status(report, item.status)
        if item.status != status:
            metadata = {"name": name, "namespace": self._author.namespace}
            told = msgspec.to_builtins(status) | {"prefixes": status.prefixes}
            body = _object(metadata, status=told)
            self._submit(key, self._operation(Verb.APPLY, name, body, "status"))

    def _submit(self, key: str, operation: Operation) -> None:
        """Write, unless the same object was written a moment ago in the same way."""
        part, now = f"BGPSession {key} {operation.subresource or ''}", self._clock()
        if now - self._written.get(part, float("-inf")) < WRITE_INTERVAL_S:
            return
        if not self._writer.is_busy(part):
            self._written[part] = now
            self._writer.submit(part, operation)

    def _is_ours(self, item: BGPSession, report: SessionReport) -> bool:
        labels = item.metadata.labels or {}
        owners = item.metadata.owner_references or ()
        has_owner = self._author.pod is None or self._author.pod in owners
        return has_owner and self._labels(report).items() <= labels.items()

    def _labels(self, report: SessionReport) -> dict[str, str]:
        labels = {NODE_LABEL: self._author.node}
        return labels | ({PEER_LABEL: report.name} if len(report.name) <= _LABEL_MAX else {})

    def _apply_metadata(self, name: str, report: SessionReport) -> Operation:
        metadata: dict[str, object] = {
            "name": name,
            "namespace": self._author.namespace,
            "labels": self._labels(report),
        }
        if self._author.pod is not None:
            metadata["ownerReferences"] = (self._author.pod,)
        return self._operation(Verb.APPLY, name, _object(metadata))

    def _operation(
        self, verb: Verb, name: str, body: bytes = b"", subresource: str | None = None
    ) -> Operation:
        manager = FIELD_MANAGER if verb is Verb.APPLY else ""
        namespace = self._author.namespace
        return Operation(verb, BGP_SESSIONS, name, namespace, body, subresource, manager)

    def _key(self, name: str) -> str:
        return f"{self._author.namespace}/{name}"

    def _status(self, report: SessionReport, before: BGPSessionStatus | None) -> BGPSessionStatus:
        is_up = report.state == ESTABLISHED
        since = _rfc3339(self._wall_clock() - report.since_s)
        if before is not None and before.since and is_up == (before.state == ESTABLISHED):
            since = before.since if not is_up or _is_near(before.since, since) else since
        return BGPSessionStatus(
            node=self._author.node,
            peer=report.name,
            address=report.peer,
            vrf=report.vrf,
            state=report.state,
            since=since,
            bfd=report.bfd,
            prefixes=report.prefixes_sent,
            reason="" if is_up else report.last_error[:_REASON_MAX],
            flaps=report.flap_count,
            my_asn=report.asn,
            peer_asn=report.peer_asn,
            local_address=report.local_address,
            router_id=report.router_id,
            peer_router_id=report.peer_router_id,
            hold_time=report.hold_time_s,
            families=report.families or None,
        )


async def _is_installed(client: KubeClient, selection: Selection) -> bool:
    try:
        await client.list_page(
            BGP_SESSIONS, selection.namespace, {**selection.params(), "limit": "1"}
        )
    except KubeError:
        return False
    return True


def object_name(node: str, peer: str) -> str:
    """Give the name of the object; what a name has no room for or runs together, the end tells."""
    digest = hashlib.sha256(f"{node}\0{peer}".encode()).hexdigest()[:6]
    return f"{node[:_NAME_MAX]}-{peer[:_NAME_MAX]}-{digest}"


def _object(metadata: Mapping[str, object], **parts: object) -> bytes:
    head = {"apiVersion": BGP_SESSIONS.api_version, "kind": BGP_SESSIONS.kind}
    return encode({**head, "metadata": metadata, **parts})


def _rfc3339(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _is_near(one: str, other: str) -> bool:
    try:
        first, second = (
            calendar.timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ")) for text in (one, other)
        )
    except ValueError:
        return False
    return abs(first - second) <= SINCE_TOLERANCE_S

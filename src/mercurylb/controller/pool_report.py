"""How full the pools are, in their status and in the metrics (spec: api §8.1, allocator §10).

The status of a pool is written when it is not what it should be, whoever changed it; so the echo of
a write is not answered, and what somebody edits by hand is put right. A refused write is repeated
after a while, with what is right by then.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from mercurylb.api.ip_address_pool import IPAddressPoolStatus
from mercurylb.kube.kinds import IP_ADDRESS_POOLS
from mercurylb.kube.operation import Operation, Verb, encode
from mercurylb.kube.writer import Outcome, Result
from mercurylb.telemetry import logs as log

if TYPE_CHECKING:
    from mercurylb.allocator.book import Book
    from mercurylb.allocator.usage import PoolCounters
    from mercurylb.api.ip_address_pool import IPAddressPool
    from mercurylb.controller.surroundings import Outlets
    from mercurylb.kube.store import Store

REFUSED_RETRY_S: Final = 1.0


class PoolReporter:
    """Brings the book's counters to where they are looked for."""

    def __init__(self, pools: Store[IPAddressPool], outlets: Outlets, *, book: Book) -> None:
        self._pools = pools
        self._outlets = outlets
        self._book = book
        self._is_closed = False

    def report(self, *, is_due: bool) -> None:
        """Show the counters if they changed, or if the pools themselves did (`is_due`)."""
        has_changed = bool(self._book.take_changed_pools())
        if not (has_changed or is_due):
            return
        counters = {entry.pool: entry for entry in self._book.counters()}
        self._outlets.metrics.note_pools(counters.values())
        for key, pool in self._pools.objects.items():
            found = counters.get(pool.metadata.name)
            if found is not None:
                self._write(key, pool, _status(found))

    def close(self) -> None:
        """Show nothing any more, and take no notice of late answers."""
        self._is_closed = True
        self._outlets.metrics.note_pools(())

    def _write(self, key: str, pool: IPAddressPool, status: IPAddressPoolStatus) -> None:
        """Have a status written, unless it is there already."""
        write_key = f"IPAddressPool {key}"
        if pool.status == status:
            self._outlets.writer.discard(write_key)
            return
        operation = Operation(
            Verb.MERGE,
            IP_ADDRESS_POOLS,
            pool.metadata.name,
            pool.metadata.namespace,
            encode({"status": status}),
            subresource="status",
        )
        self._outlets.writer.submit(write_key, operation, partial(self._on_written, key))

    def _on_written(self, key: str, outcome: Outcome) -> None:
        """Write a refused status again after a while; a pool that is gone needs none."""
        if outcome.result in (Result.REFUSED, Result.CONFLICT) and not self._is_closed:
            log.error("alloc.pool_write_refused", pool=key, error=outcome.error)
            self._outlets.later(REFUSED_RETRY_S, lambda: self._pools.mark_dirty((key,)))


def _status(counters: PoolCounters) -> IPAddressPoolStatus:
    return IPAddressPoolStatus(
        assigned_ipv4=counters.ipv4_in_use,
        assigned_ipv6=counters.ipv6_in_use,
        available_ipv4=counters.ipv4_available,
        available_ipv6=counters.ipv6_available,
    )

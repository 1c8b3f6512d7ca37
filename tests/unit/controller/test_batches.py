"""Many services are decided about in batches, and nobody can tell from what they are given."""

from __future__ import annotations

from mercurylb.api.annotation import ALLOCATED_FROM_POOL
from mercurylb.controller.publication import WRITES_MAX
from mercurylb.controller.reconciler import BATCH_MAX
from mercurylb.kube.writer import Outcome, Result
from tests.unit.controller.cluster import Cluster

MANY = 2 * BATCH_MAX


def crowded(count: int = MANY, *, has_addresses: bool) -> Cluster:
    """Give a cluster with many services."""
    cluster = Cluster()
    cluster.pool("main", "10.0.0.0/22")
    for number in range(count):
        holds = (f"10.0.{number // 250}.{number % 250}",) if has_addresses else ()
        annotations = {ALLOCATED_FROM_POOL: "main"} if has_addresses else None
        cluster.service(f"s{number:04d}", holds=holds, annotations=annotations)
    return cluster


def written(cluster: Cluster) -> int:
    """Count the services about which something was written."""
    return sum(key.startswith("Service ") for key in cluster.out.operations)


def test_everybody_has_a_turn() -> None:
    """A pass takes a batch; when many writes have no answer yet, one of them is awaited."""
    assert MANY == WRITES_MAX
    cluster = crowded(MANY + 1, has_addresses=False)
    counts = []
    for _ in range(3):
        cluster.step()
        counts.append(written(cluster))
    assert counts == [BATCH_MAX, MANY, MANY]
    cluster.answer("s0000")
    cluster.step()
    given = {tuple(cluster.addresses(f"s{number:04d}") or ()) for number in range(1, MANY + 1)}
    assert len(given - {()}) == MANY


async def test_an_answer_rings_the_bell_for_those_who_are_left() -> None:
    """Whatever the answer is: a conflict is as good as a success."""
    cluster = crowded(MANY + 1, has_addresses=False)
    for _ in range(3):
        cluster.step()
    await cluster.services.wakeup.wait()
    cluster.out.callbacks["Service default/s0000"](
        Outcome("Service default/s0000", cluster.operation("s0000"), Result.REFUSED)
    )
    await cluster.services.wakeup.wait()
    cluster.step()
    assert written(cluster) == MANY + 1


async def test_the_bell_rings_while_somebody_is_left() -> None:
    """Nothing has to change for the next batch to be looked at."""
    cluster = crowded(has_addresses=False)
    for _ in range(2):
        await cluster.services.wakeup.wait()
        cluster.step()
    assert written(cluster) == MANY


def test_an_early_batch_takes_nothing_from_a_later_one() -> None:
    """After a start the first one has to move; the lowest addresses are later ones'."""
    cluster = crowded(has_addresses=True)
    cluster.service("first", holds=("192.0.2.77", "fd00::77"))
    for _ in range(4):
        cluster.step()
    assert cluster.addresses("first") == ["10.0.0.250"]
    assert not [key for key in cluster.out.operations if key.startswith("Service default/s")]


def test_what_a_later_batch_gives_up_is_withdrawn_first() -> None:
    """A status that is not to stay counts before it is that service's turn."""
    cluster = crowded(has_addresses=True)
    cluster.service("last", holds=("10.0.3.0",), loadBalancerIP="10.0.3.1")
    cluster.service("first", holds=("10.0.3.2", "fd00::2"), loadBalancerIP="10.0.3.0")
    for _ in range(4):
        cluster.step()
    assert cluster.addresses("first") == []
    assert cluster.addresses("last") == ["10.0.3.1"]
    cluster.service("first", loadBalancerIP="10.0.3.0")
    cluster.service("last", holds=("10.0.3.1",), loadBalancerIP="10.0.3.1")
    cluster.step()
    assert cluster.addresses("first") == ["10.0.3.0"]

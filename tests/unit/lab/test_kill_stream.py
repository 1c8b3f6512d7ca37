"""The stream of changes to a cluster whose controller is killed: the same for a seed, and valid."""

from __future__ import annotations

import ipaddress
import random
from typing import Any

from tests.lab.kill_judge import read_pool
from tests.lab.kill_stream import BLOCKS, Stream, block_range


def played(seed: int, count: int = 2000) -> list[str]:
    """Give a stream's operations as text."""
    stream = Stream(random.Random(seed), "s")
    begun = list(map(str, stream.begin()))
    return [*begun, *(str(stream.next()) for _ in range(count)), *map(str, stream.end())]


def test_a_seed_gives_the_same_operations_again() -> None:
    """Whatever a controller makes of them; another seed gives others."""
    assert played(1) == played(1)
    assert played(1) != played(2)


def test_a_stream_has_everything_in_it() -> None:
    """Creates, deletes and edits of services and of pools."""
    seen = {
        (line.split()[0], "pool" if "ipaddresspools" in line else "service") for line in played(1)
    }
    assert seen == {
        (method, kind) for method in ("POST", "PATCH", "DELETE") for kind in ("pool", "service")
    }


def test_no_two_pools_ever_have_an_address_in_common() -> None:
    """The configuration is valid at all times: edits are refused for no other reason either."""
    stream = Stream(random.Random(3), "s")
    stream.begin()
    for _ in range(2000):
        stream.next()
        taken = [block for plan in stream.pools.values() for block in plan.blocks]
        assert len(taken) == len(set(taken))
        assert all(plan.blocks for plan in stream.pools.values())


def test_blocks_are_apart_and_some_of_their_addresses_are_buggy() -> None:
    """Eight addresses of either family each; `avoidBuggyIPs` makes a difference for all."""
    seen: set[Any] = set()
    for block in range(BLOCKS):
        for version in (4, 6):
            spec = {"addresses": [block_range(block, version)], "avoidBuggyIPs": True}
            pool = read_pool({"metadata": {"name": "p"}, "spec": spec})
            (first, last) = pool.ranges[0]
            every = {first + step for step in range(int(last) - int(first) + 1)}
            assert len(every) == 8
            assert not every & seen
            seen |= every
            given = set(pool.addresses(version))
            assert len(given) == (7 if version == 4 else 8)
    assert ipaddress.ip_address("10.84.0.0") in seen

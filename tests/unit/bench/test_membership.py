"""The membership's cost, measured on machines in virtual time."""

from __future__ import annotations

from bench.latency import summary
from bench.membership import Simulation, address_of


def test_a_simulated_cluster_joins_and_costs_something() -> None:
    """Everybody knows everybody, and messages were weighed."""
    told = Simulation(3).measure()
    assert told["bytes_per_s"] > 1000
    assert told["cpu_percent"] > 0


def test_addresses_of_many_members_differ() -> None:
    """Also beyond one octet."""
    assert len({address_of(number) for number in range(450)}) == 450


def test_answers_times_become_percentiles() -> None:
    """A question without an answer is counted, and has no time."""
    told = summary([0.001, 0.002, None, 0.004])
    assert told == {
        "asked": 4.0,
        "answered": 3.0,
        "p50_ms": 2.0,
        "p99_ms": 4.0,
        "max_ms": 4.0,
    }


def test_no_answer_at_all_has_no_times() -> None:
    """Only the count is left."""
    assert summary([None]) == {"asked": 1.0, "answered": 0.0}


def test_a_cluster_of_one_is_whole() -> None:
    """It comes up alone."""
    cluster = Simulation(1)
    (node,) = cluster.nodes.values()
    cluster.run(3.0)
    assert node.live == 1

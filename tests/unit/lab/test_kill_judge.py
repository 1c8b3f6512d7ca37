"""The judge of killed controllers finds what must not happen, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from tests.lab.kill_judge import SHARING, WANTED, Change, Judge, judge_end

LAG_S = 3.0
POOL = "10.0.0.0-10.0.0.7"


class Story:
    """A history in the making; every change has the next revision and is ten seconds later."""

    def __init__(self) -> None:
        self.changes: list[Change] = []

    def pool(self, *ranges: str, name: str = "p", **spec: Any) -> None:
        """Create or change a pool."""
        body = {"metadata": {"name": name}, "spec": {"addresses": list(ranges), **spec}}
        self.add("pool", name, body)

    def service(  # noqa: PLR0913 (what a service can be)
        self,
        name: str,
        *has: str,
        sharing: str = "",
        wants: str = "",
        port: int = 80,
        kind: str = "LoadBalancer",
        later_s: float = 10.0,
    ) -> None:
        """Create or change a service."""
        annotations = {k: v for k, v in ((SHARING, sharing), (WANTED, wants)) if v}
        ports = [{"port": port}]
        body = {
            "metadata": {"namespace": "n", "name": name, "annotations": annotations},
            "spec": {"type": kind, "clusterIPs": ["10.96.0.1"], "ports": ports},
            "status": {"loadBalancer": {"ingress": [{"ip": ip} for ip in has]}},
        }
        self.add("service", f"n/{name}", body, later_s=later_s)

    def add(self, kind: str, key: str, body: Any, *, later_s: float = 10.0) -> None:
        """Append a change."""
        at = (self.changes[-1].at if self.changes else 0.0) + later_s
        self.changes.append(Change(len(self.changes) + 1, at, kind, key, body))

    def findings(self) -> list[tuple[str, str]]:
        """Judge it."""
        judge = Judge(lag_s=LAG_S)
        judge.take(self.changes)
        return [(finding.what, finding.service) for finding in judge.findings]


@pytest.fixture
def story() -> Story:
    """Begin with a pool and a service that has its first address."""
    made = Story()
    made.pool(POOL)
    made.service("a")
    made.service("a", "10.0.0.0")
    return made


def test_a_service_that_keeps_its_address_is_no_news(story: Story) -> None:
    """Other edits leave it alone."""
    story.service("a", "10.0.0.0", port=81)
    assert story.findings() == []


def test_the_same_address_in_two_statuses_is_found(story: Story) -> None:
    """Without sharing rights an address is one service's."""
    story.service("b", "10.0.0.0")
    assert story.findings() == [("held twice", "n/b")]


def test_services_that_may_share_are_no_finding() -> None:
    """The same key and other ports."""
    story = Story()
    story.pool(POOL)
    story.service("a", "10.0.0.0", sharing="k")
    story.service("b", "10.0.0.0", sharing="k", port=81)
    assert story.findings() == []
    story.service("c", "10.0.0.0", sharing="k", port=81)
    assert story.findings() == [("held twice", "n/c")]


def test_another_address_without_a_reason_is_a_swap(story: Story) -> None:
    """Its old address was allowed all the time."""
    story.service("a", "10.0.0.1")
    assert story.findings() == [("swapped", "n/a")]


def test_an_address_lost_without_a_reason_is_found(story: Story) -> None:
    """It still wants one, and could have kept it."""
    story.service("a")
    assert story.findings() == [("taken away", "n/a")]


def test_an_address_after_its_service_stopped_wanting_one_may_go(story: Story) -> None:
    """A change of type is a reason."""
    story.service("a", "10.0.0.0", kind="ClusterIP")
    story.service("a", kind="ClusterIP")
    assert story.findings() == []


def test_a_pool_that_loses_the_address_is_a_reason(story: Story) -> None:
    """Whoever moves then moves rightly, even after the pool has it again."""
    story.pool("10.0.0.4-10.0.0.7")
    story.pool(POOL)
    story.service("a", "10.0.0.4")
    assert story.findings() == []


def test_a_reason_before_the_address_was_given_does_not_count(story: Story) -> None:
    """What was over long before is no reason."""
    early = Story()
    early.pool("10.0.0.4-10.0.0.7")
    early.pool(POOL)
    early.service("a")
    early.service("a", "10.0.0.0")
    early.service("a", "10.0.0.1")
    assert early.findings() == [("swapped", "n/a")]
    assert story.findings() == []


def test_a_wish_for_another_address_is_a_reason(story: Story) -> None:
    """Who asks for another one gets it."""
    story.service("a", "10.0.0.0", wants="10.0.0.5")
    story.service("a", "10.0.0.5", wants="10.0.0.5")
    assert story.findings() == []


def test_an_address_outside_the_pools_is_found(story: Story) -> None:
    """Nobody gets what no pool has, nor what no pool has had for a while."""
    story.pool("10.0.0.4-10.0.0.7")
    story.service("b", "10.0.0.1")
    assert story.findings() == [("outside", "n/b")]


def test_an_address_that_was_allowed_a_moment_ago_is_forgiven(story: Story) -> None:
    """A write and an edit may cross; a write long after the edit may not."""
    story.service("b")
    story.pool("10.0.0.0-10.0.0.3")
    story.service("b", "10.0.0.4", later_s=1.0)
    assert story.findings() == []
    story.service("c", "10.0.0.5")
    assert story.findings() == [("outside", "n/c")]


def test_a_service_younger_than_the_edit_may_still_get_what_the_edit_took(story: Story) -> None:
    """Its creation may be seen before the edit is."""
    story.pool("10.0.0.0-10.0.0.3")
    story.service("b", later_s=0.5)
    story.service("b", "10.0.0.4", later_s=0.5)
    assert story.findings() == []


def test_another_order_is_found() -> None:
    """Clients see the first address."""
    story = Story()
    story.pool(POOL, "fd00::0-fd00::7")
    body = {
        "metadata": {"namespace": "n", "name": "a"},
        "spec": {
            "type": "LoadBalancer",
            "clusterIPs": ["10.96.0.1", "fd00:96::1"],
            "ipFamilyPolicy": "RequireDualStack",
            "ports": [{"port": 80}],
        },
    }
    for order in (["10.0.0.0", "fd00::"], ["fd00::", "10.0.0.0"]):
        status = {"loadBalancer": {"ingress": [{"ip": ip} for ip in order]}}
        story.add("service", "n/a", {**body, "status": status})
    assert story.findings() == [("reordered", "n/a")]


def ended(story: Story, **status: int) -> list[str]:
    """Judge how a story ends."""
    judge = Judge()
    judge.take(story.changes)
    return judge_end(judge.world, {"p": status})


def test_an_end_with_right_counters_is_right(story: Story) -> None:
    """One of eight is in use."""
    assert ended(story, assignedIPv4=1, availableIPv4=7) == []


def test_a_leak_is_found_in_the_counters(story: Story) -> None:
    """The pool counts an address that no status shows."""
    (said,) = ended(story, assignedIPv4=2, availableIPv4=6)
    assert said.startswith("pool p says (2, 0, 6, 0)")


def test_who_waits_without_need_is_found(story: Story) -> None:
    """There are free addresses, and nobody gives it one."""
    story.service("b")
    (said,) = ended(story, assignedIPv4=1, availableIPv4=7)
    assert said.startswith("n/b has none although ['10.0.0.1'] would do")


def test_who_waits_for_a_full_pool_is_right() -> None:
    """There is nothing to be had."""
    story = Story()
    story.pool("10.0.0.0-10.0.0.0")
    story.service("a", "10.0.0.0")
    story.service("b")
    assert ended(story, assignedIPv4=1) == []


def test_who_has_what_is_not_allowed_is_found(story: Story) -> None:
    """The pool lost the address long ago."""
    story.pool("10.0.0.4-10.0.0.7")
    said = ended(story, availableIPv4=4)
    assert "although no pool has them all" in said[0]

"""docs/migrate.md, performed: each way of moving over, and its way back, command by command.

After each step every address is announced by the one node that it belongs to, and a page comes from
it.  What was observed all the while is printed.  See `migrate_scene` for what is moved from.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from lab import Lab, chartrepo
from lab.console import MANIFESTS
from lab.progress import say
from tests.lab.migrate_scene import (
    HOME,
    IS_ORIGINAL,
    NODES,
    READY_S,
    Journey,
    Page,
    Watching,
    prepare,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


pytestmark = [
    pytest.mark.lab,
    pytest.mark.full,
    pytest.mark.timeout(900),
    pytest.mark.skipif(os.geteuid() != 0, reason="a lab needs root"),
]

FORBIDDEN = 403
IS_WHOLE = IS_ORIGINAL or bool(os.environ.get("MERCURYLB_WHOLE_MOVE"))
WAIT = f"--wait --timeout {READY_S:.0f}s"
NO_PAGE_MAX_S = float(os.environ.get("MERCURYLB_NO_PAGE_S", "15"))
"""A speaker that is killed without a goodbye is missed after 5 to 8 s on a quiet machine."""
LEASE = f"Lease {HOME} mercurylb-controller"
"""It goes with the controller's Deployment, which is the same before and after."""
DEFINITION = "CustomResourceDefinition <none> bgpsessions.mercurylb.io"
AUDIT_POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  userGroups: ["system:serviceaccounts:metallb-system"]
- level: None
"""


class Audit:
    """What programs were forbidden to do."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "audit.log"
        self._policy = folder / "policy.yaml"
        self._policy.write_text(AUDIT_POLICY)
        self._read = 0

    @property
    def words(self) -> tuple[str, ...]:
        """Give what the API server is told."""
        return f"--audit-policy-file={self._policy}", f"--audit-log-path={self._log}"

    def forbidden(self) -> Counter[str]:
        """Give what was forbidden since the last time."""
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        found: Counter[str] = Counter()
        for line in lines[self._read :]:
            entry: dict[str, Any] = json.loads(line)
            if entry.get("responseStatus", {}).get("code") == FORBIDDEN:
                who = entry["user"]["username"].rpartition(":")[2]
                agent = entry.get("userAgent", "").partition("/")[0]
                found[
                    f"{who} ({agent}) {entry['verb']} {entry['requestURI'].partition('?')[0]}"
                ] += 1
        self._read = len(lines)
        return found


@pytest.fixture(scope="module")
def audit(tmp_path_factory: pytest.TempPathFactory) -> Audit:
    """Write down what the programs ask."""
    return Audit(tmp_path_factory.mktemp("audit"))


@pytest.fixture(scope="module")
def journey(audit: Audit, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Journey]:
    """Bring up a full lab with a web application, and what is moved from in its images."""
    words = audit.words if IS_ORIGINAL else ()
    with Lab.full(name="migrate", nodes=len(NODES), apiserver_args=words) as lab:
        made = Journey(lab, prepare(lab, tmp_path_factory.mktemp("original")))
        lab.apply((MANIFESTS / "web.yaml").read_text())
        made.run(f"helm repo add mercurylb {chartrepo.URL}")
        yield made


def finish(watching: Watching, audit: Audit) -> None:
    """Print what was observed, and judge it."""
    told = watching.told()
    for line in told:
        say(json.dumps(line))
    say(f"forbidden: {json.dumps(audit.forbidden(), indent=1)}")
    assert max(line["no_page_s"] for line in told) < NO_PAGE_MAX_S, told


def move(journey: Journey, block: tuple[str, int], nodes: tuple[str, ...], kind: str) -> None:
    """Move one node after the other."""
    for node in nodes:
        journey.type(*block, n2=node)
        journey.until(lambda node=node: journey.kinds().get(node) == kind, f"{node} is {kind}")  # type: ignore[misc]
        journey.look(f"{node} is {kind}")


def test_every_section_with_commands_is_performed() -> None:
    """Those that are not named by a test of this file would never be."""
    assert Page().sections == {"1", "2", "3a", "3b", "3c"}


def test_a_release_is_turned_into_ours_and_back(journey: Journey, audit: Audit) -> None:
    """Sections 1, 2 and 3a: the nodes are moved in the order that the check gives."""
    chart, words = journey.original.chart, journey.original.words
    journey.run(f"helm install metallb {chart} {words} -n {HOME} --create-namespace {WAIT}")
    journey.configure()
    before = journey.inventory()
    audit.forbidden()
    with Watching(journey) as watching:
        said = journey.type("1", 0)
        assert "helm upgrade metallb mercurylb/mercurylb" in said
        order = tuple(re.findall(r"\bn\d\b", said.partition("in this order:")[2])[: len(NODES)])
        assert sorted(order) == list(NODES)
        shadowed(journey)
        assert journey.inventory() == before

        revision = journey.type("3a", 0).rstrip().splitlines()[-1].split()[0]
        journey.type("3a", 1)
        journey.look("the controller is ours")
        assert set(journey.kinds().values()) == {"theirs"}
        move(journey, ("3a", 2), order, "ours")
        journey.type("3a", 3)
        journey.look("all is ours")

        journey.type("3a", 4, REVISION=revision)
        journey.look("the controller is theirs again")
        move(journey, ("3a", 2), order[::-1], "theirs")
    finish(watching, audit)
    assert journey.page.left("1", "2", "3a") == []
    await_left(journey, before, LEASE)
    journey.run(f"helm uninstall metallb -n {HOME} --wait --timeout 90s")


def shadowed(journey: Journey) -> None:
    """Perform section 2: what would be done differently is nothing.

    A stand-in does not say what its speakers announce, nor from which pool an address is.
    """
    lines = journey.page.lines("2", 0)
    journey.run(lines[0])
    journey.run(
        f"kubectl wait pod -n {HOME} -l app.kubernetes.io/instance=shadow"
        f" --for condition=Ready --timeout {READY_S:.0f}s"
    )
    said = journey.console.run(lines[1], check=False)
    told = {json.loads(line)["aspect"] for line in said.splitlines() if line.startswith("{")}
    assert told <= (set() if IS_ORIGINAL else {"layer2", "status"}), said
    assert "controller.caches_filled" in journey.console.quiet(lines[1].partition(" | ")[0])
    journey.look("a shadow runs")
    journey.type("2", 1)
    journey.until(lambda: not any("shadow" in name for name in journey.pods()), "no shadow")


@pytest.mark.skipif(not IS_WHOLE, reason="takes a minute: set MERCURYLB_WHOLE_MOVE")
def test_manifests_are_applied_over_theirs_and_back(journey: Journey, audit: Audit) -> None:
    """Section 3b."""
    applied(journey)
    before = journey.inventory()
    with Watching(journey) as watching:
        journey.type("3b", 0)
        journey.run(f"kubectl rollout status deployment/controller -n {HOME}")
        journey.look("the controller is ours")
        delete(journey, NODES, "ours")
        journey.type("3b", 1)
        journey.look("all is ours")

        journey.run(journey.page.lines("3b", 0)[0])
        journey.type("3b", 2)
        journey.look("the controller is theirs again")
        delete(journey, NODES[::-1], "theirs")
    finish(watching, audit)
    assert journey.page.left("3b") == []
    await_left(journey, before, LEASE, DEFINITION)
    journey.run(f"kubectl delete -f {journey.original.manifest}")


def await_left(journey: Journey, before: set[str], *more: str) -> None:
    """Wait until the way back has left of ours what the page says, and nothing else."""
    say(f"left: {sorted(journey.inventory() ^ before)}")
    journey.until(lambda: journey.inventory() == before | set(more), f"only {more} left of ours")


def delete(journey: Journey, nodes: tuple[str, ...], kind: str) -> None:
    """Delete the nodes' pods as section 3b says: as by 3a, with another selector."""
    for node in nodes:
        for line in journey.page.lines("3a", 2, n2=node):
            journey.run(line.replace("app.kubernetes.io/component=", "app=metallb,component="))
        journey.until(lambda node=node: journey.kinds().get(node) == kind, f"{node} is {kind}")  # type: ignore[misc]
        journey.look(f"{node} is {kind}")


def applied(journey: Journey) -> None:
    """Install the original by its manifests."""
    line = f"kubectl apply -f {journey.original.manifest}"
    journey.until(lambda: not journey.fails(line), line)
    journey.run(f"kubectl rollout status deployment/controller daemonset/speaker -n {HOME}")
    journey.configure()


def test_both_are_installed_and_one_goes(journey: Journey, audit: Audit) -> None:
    """Section 3c, with both ways back, of which the second takes nodes along with an original."""
    applied(journey)
    before = journey.inventory()
    with Watching(journey) as watching:
        journey.type("3c", 0)
        journey.type("3c", 1)
        journey.look("ours is beside it, on no node")
        move(journey, ("3c", 2), NODES[:1], "ours")
        move(journey, ("3c", 5), NODES[:1], "theirs")
        journey.type("3c", 6)
        journey.look("the way back before step 4")
        await_left(journey, before)

        journey.type("3c", 1)
        move(journey, ("3c", 2), NODES, "ours")
        journey.type("3c", 3)
        journey.look("the controller is ours")

        journey.type("3c", 7)
        journey.look("the controller is theirs again")
        if IS_ORIGINAL:
            move(journey, ("3c", 5), NODES[::-1], "theirs")
            journey.type("3c", 6)
            journey.look("the way back after step 4")
            await_left(journey, before, DEFINITION)
            journey.type("3c", 1)
            move(journey, ("3c", 2), NODES, "ours")

        journey.type("3c", 3)
        journey.look("the controller is ours again")
        key = journey.identity("secret", "memberlist")
        journey.type("3c", 4)
        journey.look("theirs is gone")
    finish(watching, audit)
    assert journey.page.left("3c") == []
    owners = ["mercurylb-controller"]
    journey.until(lambda: journey.owners_of("secret", "memberlist") == owners, "one owner")
    assert journey.identity("secret", "memberlist") == key, "the key is the same"

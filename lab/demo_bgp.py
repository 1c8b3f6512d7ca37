"""Step 10 of the walk-through: every node announces the address, a router spreads flows over them.

The lab's router runs FRR.  What it says of itself is shown as it prints it, and what it does is
judged by the routes of its kernel and by pages that a client on the LAN fetches.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from typing import TYPE_CHECKING, Final

from lab.console import StepFailed, await_true, expect
from lab.observe.watch import Observers
from lab.router import BgpRouter, RouterOptions

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from contextlib import AbstractContextManager

    from lab.console import Console
    from lab.faults import Faults
    from lab.observe.report import ProbeReport
    from lab.observe.watch import Watch
    from lab.site import Site

ADDRESS: Final = "198.51.100.1"
ROUTER_ASN: Final = 64501
NODE_ASN: Final = 64500
BFD_MS: Final = 100
"""In pods, which have no real-time policy, on a machine that may be busy with other things."""
FLOWS: Final = 90
CUT_MAX_S: Final = 1.0
EXCLUDE: Final = "node.kubernetes.io/exclude-from-external-load-balancers"
_ROUTE: Final = f"vtysh -c 'show ip route {ADDRESS}'"
_NEIGHBOUR: Final = re.compile(r"(\S+\()?\d+\.\d+\.\d+\.\d+\)? ")
"""An address, or the name that it told of itself with the address."""
_ON_NODE: Final = re.compile(r"on node (n\d+)")


class BgpStep:
    """The step on one running lab whose cluster has the chart and the web application."""

    def __init__(self, site: Site, console: Console, faults: Faults) -> None:
        self._site = site
        self._console = console
        self._faults = faults
        self._router = BgpRouter(site)
        self._observers = Observers(site)
        self._nodes = [node.name for node in site.plan.nodes]

    def run(self) -> None:
        """Perform the step."""
        self._peer()
        self._announce()
        self._spread()
        self._cut(self._nodes[0])
        self._drain(self._nodes[1])

    def _peer(self) -> None:
        out = self._console
        out.say(
            "By ARP one node gets all traffic of an address. Where the router speaks BGP, every "
            "node can announce the address, and the router spreads the flows. Here the router of "
            "the LAN runs FRR and waits for the nodes to call."
        )
        self._router.start(
            RouterOptions(asn=ROUTER_ASN, node_asn=NODE_ASN, has_bfd=True, bfd_ms=BFD_MS)
        )
        out.run("vtysh -c 'show running-config' | sed -n '/^router/,/^exit/p'", host="router")
        out.say("The nodes are told of the router, with BFD, so that each side misses the other.")
        out.show("bgp-peer.yaml")
        out.run("kubectl apply -f bgp-peer.yaml")
        out.until(
            "vtysh -c 'show bgp ipv4 unicast summary'",
            lambda text: sessions(text) == len(self._nodes),
            what="all nodes have called",
            host="router",
            timeout_s=30,
        )
        out.until(
            "vtysh -c 'show bfd peers brief'",
            lambda text: len(re.findall(r"\bup\b", text)) == len(self._nodes),
            what="BFD is up",
            host="router",
            timeout_s=15,
        )

    def _announce(self) -> None:
        out = self._console
        out.say("A pool for this router, its advertisement, and a service with a pod per node.")
        for file in ("bgp-pool.yaml", "bgp-advertisement.yaml", "bgp-service.yaml"):
            out.show(file)
        out.run(f"kubectl scale deployment/web --replicas {len(self._nodes)}")
        out.quiet("kubectl rollout status deployment/web --timeout 60s")
        out.run("kubectl apply -f bgp-pool.yaml -f bgp-advertisement.yaml -f bgp-service.yaml")
        out.until(
            "kubectl get service routed",
            lambda text: ADDRESS in text,
            what="the address is there",
            timeout_s=20,
        )
        out.say("The router's own table: one route, a next hop per node that has a pod.")
        self._await_hops(self._nodes)
        out.run(f"ip route show {ADDRESS}", host="router")
        out.run("kubectl get events --field-selector involvedObject.name=routed")

    def _spread(self) -> None:
        out = self._console
        out.say(f"{FLOWS} pages, each over a connection of its own, and the nodes they came by:")
        self._page()
        counts = self._flows()
        expect(sorted(counts) == self._nodes, f"flows reached {sorted(counts)} only")

    def _cut(self, node: str) -> None:
        out = self._console
        out.say(
            f"A page is fetched every 20 ms, each time over a new connection, which the router "
            f"may send to any node. Now the cable of {node} is pulled; BFD tells the router."
        )
        rest = [name for name in self._nodes if name != node]
        with self._pages() as pages:
            self._faults.cut(node)
            begin = time.monotonic()
            await_true(lambda: self._router.next_hops(ADDRESS) == rest, "new route")
            noticed_s = time.monotonic() - begin
            time.sleep(1.5)
        report = pages.report()
        worst_s = outage(pages.lines(), begin)
        out.run(_ROUTE, host="router")
        out.run("vtysh -c 'show bgp ipv4 unicast summary'", host="router")
        print(
            f"  {node} was gone from the router's kernel after {1000 * noticed_s:.0f} ms; "
            f"{report.succeeded} of {report.tried} pages came; the last one that did not was begun "
            f"{1000 * worst_s:.0f} ms after the cut"
        )
        expect(worst_s <= CUT_MAX_S, f"pages were lost for {worst_s:.2f} s after the cut")
        out.say(f"The cable of {node} is plugged in again.")
        self._faults.heal(node)
        out.quiet(f"kubectl wait --for condition=Ready node/{node} --timeout 60s", timeout_s=70)
        self._await_hops(self._nodes, timeout_s=60)

    def _drain(self, node: str) -> None:
        out = self._console
        out.say(
            f"Node {node} is to be serviced. Its label asks every load balancer to leave it out: "
            "its routes are sent again as the last resort (GRACEFUL_SHUTDOWN, RFC 8326), and are "
            "withdrawn once the router has changed over."
        )
        rest = [name for name in self._nodes if name != node]
        with self._pages() as pages:
            out.run(f"kubectl label node {node} {EXCLUDE}=")
            await_true(lambda: self._router.next_hops(ADDRESS) == rest, "new route")
            time.sleep(1.5)
        out.run(_ROUTE, host="router")
        self._flows()
        report = pages.report()
        print(f"  {report.succeeded} of {report.tried} pages came while the router changed over")
        # A connection that is being opened in that very moment may meet two nodes.
        expect(report.tried - report.succeeded <= 1, "a planned drain lost pages")
        out.run(f"kubectl label node {node} {EXCLUDE}-")
        self._await_hops(self._nodes)

    def _await_hops(self, nodes: list[str], timeout_s: float = 30.0) -> None:
        """Wait until the router spreads over exactly these nodes, and show its route."""
        await_true(
            lambda: self._router.next_hops(ADDRESS) == nodes, "route over all nodes", timeout_s
        )
        self._console.run(_ROUTE, host="router")

    def _page(self) -> None:
        """Fetch pages until each of some in a row came: kube-proxy takes its time."""
        self._console.until(
            f"curl -sS -m 2 http://{ADDRESS}/",
            lambda text: _ON_NODE.search(text) is not None,
            what="the page came",
            timeout_s=15,
        )
        many = f"for i in $(seq 20); do curl -sS -m 1 http://{ADDRESS}/ || exit 1; done"
        await_true(lambda: self._succeeds(many), "page from every node", 20.0)

    def _succeeds(self, line: str) -> bool:
        try:
            self._console.quiet(line, timeout_s=30)
        except StepFailed:
            return False
        return True

    def _flows(self) -> Counter[str]:
        seen = self._console.run(
            f"for i in $(seq {FLOWS}); do curl -sS -m 2 http://{ADDRESS}/; done "
            "| grep -o 'on node n[0-9]*' | sort | uniq -c"
        )
        return counted(seen.splitlines())

    def _pages(self) -> AbstractContextManager[Watch[ProbeReport]]:
        watch = self._observers.http(f"http://{ADDRESS}/")
        await_true(lambda: watch.report().succeeded >= 20, "pages before the change")  # noqa: PLR2004
        return watch


def sessions(table: str) -> int:
    """Count the established sessions of a router's summary: a number stands in place of a state."""
    rows = [line.split() for line in table.splitlines() if _NEIGHBOUR.match(line)]
    return sum(len(row) > 9 and row[9].isdigit() for row in rows)  # noqa: PLR2004  (its column)


def counted(lines: Iterable[str]) -> Counter[str]:
    """Read the counts of `uniq -c`."""
    found: Counter[str] = Counter()
    for line in lines:
        if match := _ON_NODE.search(line):
            found[match[1]] += int(line.split()[0])
    return found


def outage(lines: Iterable[dict[str, object]], since: float) -> float:
    """Return how long after a moment the last try began that failed; 0 without one."""
    late = [moment for moment in _failed(lines) if moment > since]
    return max(late, default=since) - since


def _failed(lines: Iterable[dict[str, object]]) -> Iterator[float]:
    for line in lines:
        if not line["ok"] and isinstance(moment := line["t"], float):
            yield moment

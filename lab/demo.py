"""The walk-through, performed on a full lab: every command as a user types it, with its output.

Each step says why, runs the commands and checks what it promises; the first promise that is not
kept ends the demo with a message and a status other than zero. The lab is taken down in every case.
"""

from __future__ import annotations

import itertools
import re
import signal
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from lab import Lab, chartrepo
from lab.build import apt
from lab.console import Console, StepFailed, await_true, expect
from lab.demo_bgp import BgpStep
from lab.errors import LabError
from lab.faults import Faults
from lab.observe.watch import Observers
from lab.topology import FORWARDED_TO, WAN_ROUTER

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from lab.site import Site

NAME: Final = "demo"
NODE_COUNT: Final = 3
FAILOVER_MAX_S: Final = 2.0
PAGES_BEFORE_CUT: Final = 25
_GREETING: Final = "Hello from pod"
_MAC: Final = re.compile(r"(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}")


class Demo:
    """The steps of the walk-through on one running lab."""

    def __init__(
        self,
        site: Site,
        console: Console,
        chart_url: str,
        *,
        parts: str = "all",
        controller: str = "metallb-controller",
    ) -> None:
        self._parts = parts
        self._controller = controller
        self.count = 0
        """Steps to be performed."""
        self._site = site
        self._console = console
        self._chart_url = chart_url
        self._faults = Faults(site)
        self._observers = Observers(site)

    def run(self) -> None:
        """Perform all steps in order."""
        steps: list[tuple[str, Callable[[], None]]] = [
            ("Why: without a load balancer", self.why),
            ("Install through Helm", self.install),
            ("A pool of addresses", self.pool),
            ("An advertisement", self.advertisement),
            ("A service", self.service),
            ("Look", self.look),
            ("Resilience", self.resilience),
            ("One address, two services", self.two_services),
            ("The other types of services", self.other_types),
            ("BGP instead", self.bgp),
        ]
        chosen = {"layer2": steps[:-1], "bgp": [steps[1], steps[-1]]}.get(self._parts, steps)
        self.count = len(chosen)
        for number, (title, step) in enumerate(steps, start=1):
            if (title, step) not in chosen:
                continue
            self._console.title(f"{number}. {title}")
            try:
                step()
            except LabError as error:
                raise StepFailed(f"step {number} ({title}): {error}") from error

    def why(self) -> None:
        """Show a pending service, and a node port that dies with its node."""
        out = self._console
        out.say(
            "A cluster of three nodes on bare metal, and a small web application whose pages name "
            "the pod and the node they come from."
        )
        out.run("kubectl get nodes -o wide")
        out.run("kubectl apply -f web.yaml")
        out.run("kubectl rollout status deployment/web --timeout 60s")
        out.say("A Service of type LoadBalancer waits for an address that nobody gives.")
        out.show("why.yaml")
        out.run("kubectl apply -f why.yaml")
        time.sleep(2)
        seen = out.run("kubectl get service why")
        expect("<pending>" in seen, "a service without a load balancer must stay <pending>")
        out.say(
            "What is left is a node port behind a forwarding rule of the home router. Here the "
            "router forwards its port 8080 to node n1; a client on the internet gets the page."
        )
        rule = f"iifname wan0 tcp dport 8080 dnat to {self._site.plan.node('n1').ipv4}:30080"
        out.run(
            "nft 'table ip why { chain pre { type nat hook prerouting priority dstnat; "
            f"{rule}; }}; }}'",
            host="router",
        )
        self._page(f"http://{WAN_ROUTER}:8080/", host="outside")
        out.say("Now node n1 loses its cable. Two nodes still run, but the rule points to n1.")
        self._faults.cut("n1")
        try:
            out.fails(f"curl -sS -m 2 http://{WAN_ROUTER}:8080/", host="outside")
        finally:
            self._faults.heal("n1")
        out.say("The cable is back; the service and the rule are removed again.")
        out.run("nft delete table ip why", host="router")
        out.run("kubectl delete -f why.yaml")

    def install(self) -> None:
        """Install the chart and wait for its pods."""
        out = self._console
        out.say("The chart comes from a repository that a machine on the LAN serves.")
        out.run(f"helm repo add mercurylb {self._chart_url}")
        out.run("helm install metallb mercurylb/mercurylb --create-namespace --namespace metallb")
        out.say("One controller gives addresses, one speaker per node announces them.")
        out.until(
            "kubectl -n metallb get pods",
            lambda text: pods_ready(text, NODE_COUNT),
            what="all pods 1/1 Running",
            timeout_s=90,
        )

    def pool(self) -> None:
        """Create the pool."""
        self._console.say(
            "Addresses can be one range, several ranges, CIDRs, or a mixture. This pool has a "
            "single one: the address to which the router's rule for port 80 has always pointed."
        )
        self._console.show("pool.yaml")
        self._console.run("kubectl apply -f pool.yaml")

    def advertisement(self) -> None:
        """Create the advertisement."""
        self._console.say("The addresses of that pool are to be announced by ARP and NDP.")
        self._console.show("advertisement.yaml")
        self._console.run("kubectl apply -f advertisement.yaml")

    def service(self) -> None:
        """Deploy NGINX and apply the services."""
        out = self._console
        out.say(
            "NGINX as a reverse proxy in front of the web application, with a self-signed "
            "certificate for HTTPS."
        )
        out.run("kubectl create namespace ingress-nginx")
        out.run(
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 "
            "-subj /CN=demo -keyout tls.key -out tls.crt 2>/dev/null && "
            "kubectl -n ingress-nginx create secret tls ingress-nginx-tls --cert tls.crt "
            "--key tls.key"
        )
        out.run("kubectl apply -f nginx.yaml")
        out.run(
            "kubectl -n ingress-nginx rollout status deployment/ingress-nginx-controller "
            "--timeout 60s"
        )
        out.say("And its Service, of type LoadBalancer.")
        out.show("service.yaml")
        out.run("kubectl apply -f service.yaml -f admission.yaml")

    def look(self) -> None:
        """See the address, and fetch the page from inside and outside."""
        out = self._console
        out.until(
            "kubectl -n ingress-nginx get service",
            service_table_is_right,
            what="the address is there",
            timeout_s=20,
        )
        out.say(
            "From a machine on the LAN. (A node answers for the address within milliseconds; "
            "kube-proxy puts its rules for a new address in place after a second.)"
        )
        self._page(f"http://{FORWARDED_TO}/", host="client")
        self._page(f"https://{FORWARDED_TO}/", host="client")
        out.say("From outside, through the router's rule for ports 80 and 443:")
        self._page(f"http://{WAN_ROUTER}/", host="outside")
        self._page(f"https://{WAN_ROUTER}/", host="outside")
        out.say("Who answered, and which node speaks for the address:")
        out.run("kubectl -n ingress-nginx get events --field-selector reason=nodeAssigned")

    def resilience(self) -> None:
        """Cut off the node that answers; another one must take over."""
        out = self._console
        out.say("Who answers for the address? Its hardware address tells the node.")
        before = self._answering_node()
        out.say(
            f"Node {before} answers for the address. It is emptied of pods first: endpoints that "
            "die with a node are a matter of kube-proxy and the node controller, which take tens "
            "of seconds to notice; here it is about who answers for the address."
        )
        out.run(f"kubectl drain {before} --ignore-daemonsets --delete-emptydir-data")
        for namespace, name in (("default", "web"), ("ingress-nginx", "ingress-nginx-controller")):
            out.quiet(f"kubectl -n {namespace} rollout status deployment/{name} --timeout 60s")
        out.run("kubectl get pods -A -o wide --field-selector metadata.namespace!=kube-system")
        out.say(
            "A machine on the LAN asks every 10 ms by ARP who has the address. From outside a page "
            "is fetched through the router's rule every 20 ms, each time over a new connection. "
            f"Now the cable of {before} is pulled."
        )
        gap_s, after = self._cut_and_measure(before)
        out.say(
            f"Before the cut {before} answered, afterwards {after}. The page was away for "
            f"{1000 * gap_s:.0f} ms; the router's rule was not touched."
        )
        out.run(f"curl -sS -m 2 http://{WAN_ROUTER}/", host="outside")
        expect(after != before, f"{before} still answers although it is cut off")
        expect(gap_s <= FAILOVER_MAX_S, f"the page was away for {gap_s:.2f} s, more than 2 s")
        out.say(f"The cable of {before} is plugged in again.")
        self._faults.heal(before)
        out.until(
            f"kubectl wait --for condition=Ready node/{before} --timeout 30s",
            lambda _: True,
            what="the node is ready",
        )
        out.run(f"kubectl uncordon {before}")
        out.say("If the controller ran there, Kubernetes has started another one elsewhere.")
        line = f"kubectl -n metallb rollout status deployment/{self._controller} --timeout 90s"
        out.run(line, timeout_s=100)

    def two_services(self) -> None:
        """Show a service that finds no address, why, and the cure."""
        out = self._console
        out.say("The pool has one address, and it is taken. A second service has to wait.")
        out.run("kubectl apply -f second.yaml")
        seen = out.run("kubectl get service second")
        expect("<pending>" in seen, "the second service must stay <pending>")
        out.say("An event says why.")
        out.until(
            "kubectl get events --field-selector involvedObject.name=second",
            lambda text: "AllocationFailed" in text,
            what="the event is there",
            timeout_s=15,
        )
        out.say("A second range is added to the pool.")
        out.show("pool-two-ranges.yaml")
        out.run("kubectl apply -f pool-two-ranges.yaml")
        seen = out.until(
            "kubectl get service second",
            lambda text: "192.168.111.2" in text,
            what="the address is there",
            timeout_s=10,
        )
        found = re.search(r"192\.168\.111\.2\d", seen)
        expect(found is not None, "the second service has no address of the second range")
        if found:
            self._page(f"http://{found[0]}/", host="client")

    def other_types(self) -> None:
        """Show ClusterIP, NodePort and ExternalName."""
        out = self._console
        out.run("kubectl apply -f other-types.yaml")
        out.run("kubectl wait --for condition=Ready pod/toolbox --timeout 30s")
        out.run("kubectl get services")
        out.say("A ClusterIP is reachable for pods, and for nobody outside the cluster.")
        seen = out.run("kubectl exec toolbox -- wget -q -O - http://web")
        expect(_GREETING in seen, "the page must be reachable from a pod")
        address = out.quiet("kubectl get service web -o 'jsonpath={.spec.clusterIP}'").strip()
        out.fails(f"curl -sS -m 2 http://{address}/")
        out.say("A NodePort is reachable on the address of every node.")
        for node in self._site.plan.nodes:
            self._page(f"http://{node.ipv4}:30081/", host="client")
        out.say("An ExternalName is a name for something elsewhere: a CNAME in the cluster's DNS.")
        seen = out.run(
            "kubectl exec toolbox -- nslookup -type=CNAME web-elsewhere.default.svc.cluster.local"
        )
        expect("canonical name = www.example.com" in seen, "the name must be a CNAME")

    def bgp(self) -> None:
        """Let every node announce an address to a router that speaks BGP."""
        if self._parts == "bgp":
            self._console.quiet("kubectl apply -f web.yaml")
        BgpStep(self._site, self._console, self._faults).run()

    def _page(self, url: str, *, host: str) -> None:
        """Fetch a page of the web application; new rules may take a moment to be in place."""
        insecure = "-k " if url.startswith("https:") else ""
        self._console.until(
            f"curl -sS -m 2 {insecure}{url}",
            lambda text: _GREETING in text,
            what="the page came",
            host=host,
            timeout_s=10,
        )

    def _answering_node(self) -> str:
        seen = self._console.until(
            f"arping -c 1 -I eth0 {FORWARDED_TO}",
            lambda text: _MAC.search(text) is not None,
            what="somebody answers",
            timeout_s=10,
        )
        macs = _MAC.findall(seen)
        return self._site.plan.host_of_mac(macs[-1].lower()) if macs else ""

    def _cut_and_measure(self, node: str) -> tuple[float, str]:
        """Cut a node off under load; return how long the page was away and who answers now."""
        url = f"http://{WAN_ROUTER}/"
        with (
            self._observers.http(url, host="outside") as pages,
            self._observers.owner(FORWARDED_TO) as owners,
        ):
            await_true(lambda: pages.report().succeeded >= PAGES_BEFORE_CUT, "pages before the cut")
            pages_before = pages.report().succeeded
            self._faults.cut(node)
            cut_at = time.monotonic()
            await_true(
                lambda: any(line["ok"] and line["t"] > cut_at + 0.5 for line in pages.lines()),
                "the page after the cut",
            )
            time.sleep(1.0)
        report, who = pages.report(), owners.report()
        answers = [line for line in owners.lines() if line["kind"] == "answer"]
        print("\n".join(takeover(answers, cut_at, self._site.plan.host_of_mac)))
        macs = [interval.mac for interval in who.intervals if interval.end > cut_at]
        after = self._site.plan.host_of_mac(macs[-1]) if macs else "nobody"
        print(
            f"  {report.succeeded} of {report.tried} pages came ({pages_before} before the cut); "
            f"longest time without one {1000 * report.longest_gap_s:.0f} ms"
        )
        return report.longest_gap_s, after


def takeover(
    answers: Sequence[Mapping[str, Any]], cut_at: float, name_of: Callable[[str], str]
) -> list[str]:
    """Tell who answered before and after a cut, and how long nobody did."""
    spans: list[tuple[str, list[float]]] = []
    for line in answers:
        if not spans or spans[-1][0] != line["mac"]:
            spans.append((line["mac"], []))
        spans[-1][1].append(line["t"] - cut_at)
    told = [
        f"  {name_of(mac)} ({mac}) answered {len(times)} questions, "
        f"from {times[0]:+.3f} s to {times[-1]:+.3f} s of the cut"
        for mac, times in spans
    ]
    gaps = [b[1][0] - a[1][-1] for a, b in itertools.pairwise(spans)]
    return [*told, f"  nobody answered for {1000 * max(gaps):.0f} ms"] if gaps else told


def pods_ready(table: str, node_count: int) -> bool:
    """Tell whether a table of pods shows one controller and a speaker per node, all ready."""
    rows = [line.split() for line in table.splitlines()[1:]]
    ready = [row[0] for row in rows if row[1:3] == ["1/1", "Running"]]
    controllers = [name for name in ready if name.startswith("metallb-controller-")]
    speakers = [name for name in ready if name.startswith("metallb-speaker-")]
    return len(rows) == node_count + 1 and len(controllers) == 1 and len(speakers) == node_count


def service_table_is_right(table: str) -> bool:
    """Tell whether the services of ingress-nginx look as the walk-through says, but for the age."""
    rows = [line.split()[:5] for line in table.splitlines()]
    return rows == [
        ["NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)"],
        [
            "ingress-nginx-controller",
            "LoadBalancer",
            "10.102.87.119",
            FORWARDED_TO,
            "80:30384/TCP,443:32623/TCP",
        ],
        [
            "ingress-nginx-controller-admission",
            "ClusterIP",
            "10.100.117.151",
            "<none>",
            "443/TCP",
        ],
    ]


def diagnose(console: Console) -> None:
    """Print what a person would look at first when a step failed."""
    console.title("A step failed; the state of the cluster")
    for line in (
        "kubectl get pods -A -o wide",
        "kubectl get services -A",
        "kubectl get events -A --sort-by .lastTimestamp | tail -n 25",
        "kubectl -n metallb logs -l app.kubernetes.io/component=controller --tail 15",
        "kubectl -n metallb logs -l app.kubernetes.io/component=speaker --prefix --tail 10",
    ):
        console.run(line, check=False)


def main(parts: str = "layer2") -> int:
    """Bring a lab up, perform the walk-through, take it down; return the exit status.

    ``parts`` is ``layer2`` for nine steps, ``all`` for BGP too, ``bgp`` for that step alone.
    """
    begin = time.monotonic()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        if parts != "layer2":
            apt.ensure_packages(apt.ROUTER_PACKAGES)
        with Lab.full(name=NAME, nodes=NODE_COUNT) as lab:
            try:
                demo = Demo(lab.site, lab.console(), chartrepo.URL, parts=parts)
                demo.run()
            except LabError:
                diagnose(lab.console())
                raise
    except LabError as error:
        print(f"\ndemo: FAILED: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ndemo: interrupted; the lab has been taken down", file=sys.stderr)
        return 130
    print(f"\ndemo: all {demo.count} steps done in {time.monotonic() - begin:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""`mercurylb explain service`: the daemons' own decisions, asked again on the cluster as it is."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

import msgspec

from mercurylb.allocator.book import Book
from mercurylb.config.compilation import Resources, compile_config
from mercurylb.errors import ConfigError, NotFound
from mercurylb.kube.client import KubeClient
from mercurylb.kube.credentials import load_credentials
from mercurylb.kube.kinds import (
    COMMUNITIES,
    ENDPOINT_SLICES,
    IP_ADDRESS_POOLS,
    L2_ADVERTISEMENTS,
    NAMESPACES,
    NODES,
    PODS,
    SERVICES,
)
from mercurylb.kube.watch import Selection
from mercurylb.plan.decision import ServiceDecision
from mercurylb.plan.layer2 import Layer2Decision, plan_layer2
from mercurylb.plan.service import is_ours, plan_all

if TYPE_CHECKING:
    from mercurylb.config.model import Config

SPEAKER_LABELS = "app.kubernetes.io/component=speaker"


class Explanation(msgspec.Struct, frozen=True):
    """The chain from a service to its pools, its address and its candidate nodes."""

    service: str
    address: ServiceDecision | None
    """None: the service is not for us (another load-balancer class)."""
    layer2: Layer2Decision | None

    def as_json(self) -> str:
        """Give everything, for machines."""
        shown = msgspec.to_builtins(self)
        if shown["address"] is not None:
            del shown["address"]["patch"]
        return msgspec.json.format(msgspec.json.encode(shown), indent=2).decode()

    def as_text(self) -> str:
        """Give the essence, for people."""
        if self.address is None:
            return f"Service {self.service} has another loadBalancerClass: it is left alone."
        decision, lines = self.address, [f"Service {self.service}"]
        if decision.addresses:
            lines.append(f"  address  {', '.join(decision.addresses)} from pool {decision.pool}")
        else:
            lines.append(f"  address  none: {decision.pending_reason or decision.outcome.value}")
        lines += [
            f"  {'chosen ' if verdict.chosen else 'refused'}  {verdict}"
            for verdict in decision.verdicts
        ]
        return "\n".join([*lines, *self._layer2_lines()])

    def _layer2_lines(self) -> list[str]:
        if self.layer2 is None or not self.layer2.addresses:
            return []
        lines = [
            f"  node     {verdict.rank + 1}. {verdict.node}"
            if verdict.rank is not None
            else f"  node     -  {verdict.node}: {verdict.reason.value if verdict.reason else ''}"
            for verdict in self.layer2.verdicts
        ]
        if not self.layer2.ranking:
            reason = self.layer2.reason.value if self.layer2.reason else "no candidate"
            lines.append(f"  layer 2  announced by nobody: {self.layer2.detail or reason}")
        return lines


async def explain_from_cluster(name: str, *, namespace: str, lb_class: str) -> Explanation:
    """Explain a service of the cluster that the environment points to.

    Raises KubeError when the cluster cannot be asked, ConfigError when its configuration has
    problems.
    """
    key = name if "/" in name else f"default/{name}"
    here = Selection(namespace=namespace)
    speakers = Selection(namespace=namespace, labels=SPEAKER_LABELS)
    async with KubeClient(await load_credentials(os.environ)) as client:
        answers: list[Any] = await asyncio.gather(
            client.list(SERVICES),
            client.list(IP_ADDRESS_POOLS, here),
            client.list(L2_ADVERTISEMENTS, here),
            client.list(COMMUNITIES, here),
            client.list(NAMESPACES),
            client.list(NODES),
            client.list(ENDPOINT_SLICES, Selection(namespace=key.partition("/")[0])),
            client.list(PODS, speakers),
        )
    services, pools, advertisements, communities, namespaces, nodes, slices, pods = answers
    config, problems = compile_config(
        Resources(
            pools=tuple(pools),
            l2_advertisements=tuple(advertisements),
            communities=tuple(communities),
            namespaces=tuple(namespaces),
            nodes=tuple(nodes),
        )
    )
    if config is None:
        raise ConfigError(problems)
    service = next((item for item in services if item.metadata.key == key), None)
    if service is None:
        raise NotFound(404, "NotFound", f"there is no service {key}")
    if not is_ours(service, lb_class):
        return Explanation(key, None, None)
    layer2 = plan_layer2(
        service,
        config=config,
        nodes={node.metadata.name: node for node in nodes},
        endpoint_slices=[item for item in slices if item.service_key == key],
        speakers=frozenset(pod.node for pod in pods if pod.node),
        node=next((pod.node for pod in pods if pod.node), ""),
    )
    return Explanation(key, _decide(services, config, key=key, lb_class=lb_class), layer2)


def _decide(services: list[Any], config: Config, *, key: str, lb_class: str) -> ServiceDecision:
    book = Book()
    book.set_pools(config.pools)
    ours = [item for item in services if is_ours(item, lb_class)]
    return next(
        decision for decision in plan_all(ours, book=book, explain=True) if decision.service == key
    )

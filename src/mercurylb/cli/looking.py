"""The wire and the cluster brought together, for `mercurylb who`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mercurylb.cli.asking import Answers, ask, find_links
from mercurylb.cli.question import is_within
from mercurylb.errors import ParseError
from mercurylb.plan.answer import judge, node_macs
from mercurylb.plan.hearing import Heard, Report, Wire
from mercurylb.values.address import IPV4, Address, parse_address

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mercurylb.layer2.interface import Link
    from mercurylb.plan.snapshot import Snapshot

NODES_MAX: Final = 512
"""Nodes that are asked for their own addresses."""


def look(  # noqa: PLR0913 (what to ask for, and how)
    target: Address,
    snapshot: Snapshot | None,
    *,
    names: Sequence[str] = (),
    given: Mapping[str, str],
    count: int,
    timeout_s: float,
) -> Report:
    """Ask for an address and for the nodes' own; give what there is to say about it."""
    links = find_links()
    own = {address for link in links for address, _ in link.addresses}
    nodes = node_addresses(snapshot) if snapshot is not None else {}
    asked = {
        node: tuple(each for each in addresses if _is_near(each, links))
        for node, addresses in nodes.items()
        if node not in given
    }
    here = next((node for node, addresses in nodes.items() if own.intersection(addresses)), "")
    others = [each for addresses in asked.values() for each in addresses]
    answers = ask(links, packed(target), others, names=names, count=count, timeout_s=timeout_s)
    macs = node_macs(given)
    for link in links if here and here not in given else ():
        macs.setdefault(link.mac.hex(":"), here)
    for node, addresses in asked.items():
        for machine in (each for address in addresses for each in answers.of(address)):
            macs.setdefault(machine.mac.hex(":"), node)
    known = set(macs.values())
    wire = Wire(
        answers=_heard(answers, packed(target)),
        macs=macs,
        unlearnt=tuple(node for node in nodes if node not in known),
        here=here,
    )
    return judge(str(target), wire, snapshot)


def _heard(answers: Answers, target: bytes) -> tuple[Heard, ...]:
    return tuple(
        Heard(
            mac=each.mac.hex(":"),
            interface=each.interface,
            count=each.count,
            age_s=round(answers.at - each.last_at, 3),
            latency_ms=round((each.first_at - each.asked_at) * 1000, 3),
        )
        for each in answers.of(target)
    )


def node_addresses(snapshot: Snapshot) -> dict[str, tuple[bytes, ...]]:
    """Give the nodes' own addresses, by name."""
    nodes = sorted(snapshot.nodes, key=lambda node: node.metadata.name)[:NODES_MAX]
    return {node.metadata.name: tuple(_read(node.internal_addresses)) for node in nodes}


def _read(texts: Iterable[str]) -> Iterable[bytes]:
    for text in texts:
        try:
            yield packed(parse_address(text))
        except ParseError:
            continue


def packed(address: Address) -> bytes:
    """Give the bytes that go over the wire."""
    return address.number.to_bytes(4 if address.family == IPV4 else 16, "big")


def _is_near(address: bytes, links: Iterable[Link]) -> bool:
    return any(is_within(address, own, length) for link in links for own, length in link.addresses)

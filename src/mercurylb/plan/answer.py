"""Who answers for an address on the wire, and whether that is as the cluster wants it.

The wire is asked elsewhere: here what was heard is compared with what the speakers decide on. Nodes
are known by their MAC addresses, which they told by answering for their own addresses, or which
somebody gave. Without a cluster only the wire is told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mercurylb.errors import ParseError
from mercurylb.plan.explanation import Explanation, explain_service
from mercurylb.plan.hearing import AnswerCode, Heard, Report, Said, Wire
from mercurylb.plan.request import listed
from mercurylb.plan.salvage import salvage
from mercurylb.plan.testimony import missed_by
from mercurylb.values.address import parse_address

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mercurylb.plan.snapshot import Snapshot


def judge(address: str, wire: Wire, snapshot: Snapshot | None) -> Report:
    """Compare what was heard with what the cluster wants; `address` is canonical text."""
    named = tuple(
        msgspec.structs.replace(each, node=each.node or wire.macs.get(each.mac, ""))
        for each in wire.answers
    )
    return _Judge(address, msgspec.structs.replace(wire, answers=named), snapshot).judge()


class _Finding(msgspec.Struct, frozen=True):
    code: AnswerCode
    sentence: str
    advice: str = ""


class _Judge:
    def __init__(self, address: str, wire: Wire, snapshot: Snapshot | None) -> None:
        self.address = address
        self.wire = wire
        self.snapshot = snapshot
        self.owners = _distinct(wire.answers)
        self.names = listed([_name(each) for each in self.owners])
        self.found: list[Explanation] = []
        if snapshot is not None:
            keys = [
                item.metadata.key
                for item in snapshot.services
                if any(_is_same(entry.ip, address) for entry in item.ingress)
            ]
            explained = (explain_service(snapshot, key) for key in sorted(keys))
            self.found = [each for each in explained if each is not None]
        self.expected = _unique(each.expected for each in self.found if each.expected)

    def judge(self) -> Report:
        if not self.owners:
            found = self._nobody()
        elif len(self.owners) > 1:
            found = self._several()
        elif self.snapshot is None:
            found = _Finding(
                AnswerCode.ANSWERED,
                f"{self.names} answers for {self.address}; without a cluster to ask, that is all",
                "",
            )
        elif not self.found:
            found = self._unassigned(self.owners[0])
        else:
            found = self._one(self.owners[0])
        return self._report(found)

    def _nobody(self) -> _Finding:
        head = f"nobody answers for {self.address}"
        advice = "look whether this machine is on the same network, or name an --interface"
        if self.snapshot is None:
            return _Finding(AnswerCode.NOBODY, head, advice)
        if not self.found:
            return _Finding(AnswerCode.NOBODY, f"{head}, and no service has it", "")
        first = self.found[0]
        if not self.expected:
            cause = first.cause
            return _Finding(
                AnswerCode.NOBODY,
                f"{head}, as was to be expected: {cause.sentence}",
                cause.advice,
            )
        wanted = listed(self.expected)
        if self.wire.here and self.wire.here in self.expected:
            return _Finding(
                AnswerCode.NOBODY,
                f"{head}; node {wanted} is to, which is this very machine, and a node does not hear"
                " its own questions",
                "ask from another machine of the same network",
            )
        return _Finding(
            AnswerCode.NOBODY,
            f"{head}, and node {wanted} is to (service {listed(self._keys())})",
            f"look at the log of the speaker on {wanted}; {advice}",
        )

    def _several(self) -> _Finding:
        sentence = f"{len(self.owners)} machines answer for {self.address}: {self.names}"
        strangers = [each for each in self.owners if not each.node]
        if self.expected:
            sentence += f"; node {listed(self.expected)} alone is to"
        if strangers and self.snapshot is not None and not self.wire.unlearnt:
            macs = listed([each.mac for each in strangers])
            return _Finding(AnswerCode.TWO_OWNERS, sentence, f"find the machine with {macs}")
        return _Finding(
            AnswerCode.TWO_OWNERS,
            sentence,
            "ask again in a second: a takeover may be under way; if it stays so, look at the"
            " membership in the log of both",
        )

    def _unassigned(self, owner: Heard) -> _Finding:
        pool = self._pool()
        who = _name(owner)
        if not pool:
            sentence = f"{who} answers for {self.address}, which is no service's and in no pool"
            return _Finding(AnswerCode.NOT_OURS, sentence, "")
        sentence = (
            f"{who} answers for {self.address}, which no service has, though pool {pool} does"
        )
        if owner.node:
            advice = "ask again in a second; if it stays so, look at the log of the speaker there"
            return _Finding(AnswerCode.NOT_WANTED, sentence, advice)
        return _Finding(
            AnswerCode.STRANGER,
            sentence,
            "take the address out of the pool, or give that machine another one, before a service"
            " gets it",
        )

    def _one(self, owner: Heard) -> _Finding:
        keys = listed(self._keys())
        if not owner.node:
            return self._unknown(owner, keys)
        if owner.node in self.expected:
            sentence = f"node {owner.node} answers for {self.address} (service {keys}), as it is to"
            return _Finding(AnswerCode.RIGHT, sentence, "")
        if not self.expected:
            return _Finding(
                AnswerCode.NOT_WANTED,
                f"node {owner.node} answers for {self.address}, and no node is to:"
                f" {self.found[0].cause.sentence}",
                self.found[0].cause.advice,
            )
        return _Finding(
            AnswerCode.WRONG_NODE,
            f"node {owner.node} answers for {self.address} (service {keys}), and node"
            f" {listed(self.expected)} is to",
            "ask again in a second: a takeover may be under way; if it stays so, look at the log of"
            f" the speaker on {listed(self.expected)}",
        )

    def _unknown(self, owner: Heard, keys: str) -> _Finding:
        missing = [
            node for node in self.wire.unlearnt if node in (*self.expected, *self._ranking())
        ]
        if missing:
            return _Finding(
                AnswerCode.UNPROVEN,
                f"{owner.mac} answers for {self.address} (service {keys}); the MAC address of"
                f" {listed(missing)} is not known, so it may be the right one",
                f"ask on the network of the nodes, or say --node {missing[0]}=MAC",
            )
        return _Finding(
            AnswerCode.STRANGER,
            f"{owner.mac} answers for {self.address} (service {keys}), and is none of the nodes",
            "find that machine and give it another address, or take this one out of the pool",
        )

    # --- the rest ----------------------------------------------------------------------------

    def _keys(self) -> list[str]:
        return [each.service for each in self.found]

    def _ranking(self) -> tuple[str, ...]:
        return _unique(
            node for each in self.found if each.layer2 is not None for node in each.layer2.ranking
        )

    def _pool(self) -> str:
        """Give the pool that an address is in."""
        if self.snapshot is None:
            return ""
        config, _ = salvage(self.snapshot.resources())
        pool = config.index.find_common([parse_address(self.address)])
        return pool.name if pool is not None else ""

    def _report(self, found: _Finding) -> Report:
        said, missed = [], {}
        ranking = self._ranking()
        if self.snapshot is not None:
            services = frozenset(self._keys())
            for item in self.snapshot.l2_statuses:
                if item.service_key in services and item.node:
                    since = item.metadata.creation_timestamp or ""
                    said.append(Said(item.node, item.service_key or "", since))
            missed = missed_by(self.snapshot.configuration_states)
        return Report(
            address=self.address,
            code=found.code,
            sentence=found.sentence,
            advice=found.advice,
            answers=self.wire.answers,
            services=tuple(self._keys()),
            expected=self.expected,
            ranking=ranking,
            said=tuple(sorted(said, key=lambda each: (each.service, each.node))),
            disputes=tuple(
                dispute
                for each in self.found
                for dispute in each.disputes
                if dispute.address == self.address
            ),
            missed={node: words for node, words in missed.items() if node in ranking},
            unlearnt=self.wire.unlearnt,
        )


def _distinct(answers: Iterable[Heard]) -> list[Heard]:
    """Give one answer per machine: a node with two interfaces is one."""
    found: dict[str, Heard] = {}
    for each in answers:
        found.setdefault(each.node or each.mac, each)
    return list(found.values())


def _name(owner: Heard) -> str:
    return f"node {owner.node} ({owner.mac})" if owner.node else owner.mac


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def _is_same(text: str, address: str) -> bool:
    try:
        return str(parse_address(text)) == address
    except ParseError:
        return False


def node_macs(given: Mapping[str, str]) -> dict[str, str]:
    """Turn MAC addresses by node around: node by MAC address, in the form that answers have."""
    return {mac.lower().replace("-", ":"): node for node, mac in given.items()}

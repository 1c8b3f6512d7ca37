"""What a received frame gets: a reply, or the reason for none, or a look at its claim.

The hot path is `answer_arp`: the kernel filter has dropped what is not asked of us, one dictionary
lookup finds the template, one concatenation makes the reply. It takes no time of day, so what needs
one, a claim or a probe for a duplicate address, is handed back as `Drop.CLAIM` and belongs into
`on_claim`.
"""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING

from mercurylb.errors import WireError
from mercurylb.layer2 import arp, ndp
from mercurylb.layer2.conflict import Claim, Claimant, ConflictWatch
from mercurylb.layer2.drop import Drop
from mercurylb.layer2.effect import ConflictFound, Layer2Effect, SendFrame

if TYPE_CHECKING:
    from collections.abc import Container

    from mercurylb.layer2.address import Address
    from mercurylb.layer2.ownership import Ownership
    from mercurylb.layer2.port import Port
    from mercurylb.layer2.table import AnnouncementTable


class Answerer:
    """Answer what is asked for the addresses of the table."""

    def __init__(self, table: AnnouncementTable, ownership: Ownership) -> None:
        self._ports = table.ports
        self._table = table
        self._ownership = ownership
        self.watch = ConflictWatch()
        self.own_macs: frozenset[bytes] = frozenset()
        """Of all links of this node: what comes from one of them claims nothing."""
        self.left: Container[str] = ()
        """Addresses that a node without a speaker still carries: it may go on speaking for them."""
        self.drops: collections.Counter[Drop] = collections.Counter()

    # --- the hot path ------------------------------------------------------------------------

    def answer_arp(self, interface: int, frame: bytes) -> bytes | Drop:
        """Return the reply to a frame of ethertype 0806, or why there is none."""
        port = self._ports.get(interface)
        if port is None:
            return self._drop(Drop.NOT_MATCHING_INTERFACE)
        table = port.arp
        is_request = arp.is_request(frame, port.interface.mac)
        if frame[28:32] in table and (is_request or arp.is_whole(frame)):
            claim = self._claim(frame[22:28])
            if claim is not None:
                return self._drop(claim)
        answer = table.get(frame[38:42]) if is_request else None
        if answer is None:
            return self._drop(self._why_not_arp(port, frame))
        template, counter = answer
        counter.answers += 1
        return arp.reply(frame, template)

    def answer_ndp(self, interface: int, frame: bytes) -> bytes | Drop:
        """Return the reply to a frame of ethertype 86dd, or why there is none."""
        port = self._ports.get(interface)
        link_local = None if port is None else port.interface.link_local
        if port is None or link_local is None:
            return self._drop(Drop.NOT_MATCHING_INTERFACE)
        asked = ndp.check_solicitation(frame, link_local)
        if isinstance(asked, Drop):
            return self._unanswered(port, frame, asked)
        if asked.source in port.ndp:
            claim = self._claim(asked.source_mac)
            if claim is not None:
                return self._drop(claim)
        return self._reply_ndp(port, asked)

    def _reply_ndp(self, port: Port, asked: ndp.Solicitation) -> bytes | Drop:
        counter = port.ndp.get(asked.target)
        link_local = port.interface.link_local
        if counter is None or link_local is None:
            return self._drop(self._why_not(asked.target))
        counter.answers += 1
        return ndp.reply(asked, mac=port.interface.mac, link_local=link_local)

    def _unanswered(self, port: Port, frame: bytes, drop: Drop) -> Drop:
        """Count what is no request; probes for and advertisements of our addresses want a look."""
        self.drops[drop] += 1
        is_probe = drop is Drop.NO_SOURCE_LL and frame[22:38] == ndp.UNSPECIFIED
        is_advertisement = drop is Drop.MESSAGE_TYPE and frame[54] == ndp.ADVERTISEMENT
        if not (is_probe or is_advertisement) or frame[62:78] not in port.ndp:
            return drop
        if frame[12:14] != ndp.ETHERTYPE:
            return drop
        claim = self._claim(frame[6:12])
        if claim is None:
            return drop
        if is_advertisement:
            self.drops[claim] += 1
        return claim

    def _claim(self, mac: bytes) -> Drop | None:
        """Say what a frame that speaks for an announced address is; None when not to look at it."""
        if mac in self.own_macs:
            return Drop.OWN_MESSAGE
        if self.watch.is_deaf:
            self.drops[Drop.CLAIM_FLOOD] += 1
            return None
        return Drop.CLAIM

    def _drop(self, reason: Drop) -> Drop:
        self.drops[reason] += 1
        return reason

    def _why_not_arp(self, port: Port, frame: bytes) -> Drop:
        drop = arp.check_request(frame, port.interface.mac)
        return self._why_not(frame[38:42]) if drop is None else drop

    def _why_not(self, packed: bytes) -> Drop:
        is_elsewhere = self._table.book.find(packed) is not None
        return Drop.NOT_MATCHING_INTERFACE if is_elsewhere else Drop.ANNOUNCE_IP

    # --- claims ------------------------------------------------------------------------------

    def on_claim(self, interface: int, frame: bytes, now: float) -> list[Layer2Effect]:
        """Look at a frame for which the hot path said `Drop.CLAIM`, and answer it if it asks."""
        port = self._ports.get(interface)
        is_arp = frame[12:14] == arp.ETHERTYPE
        if port is None or (is_arp and not arp.is_whole(frame)):
            return []
        effects = _reply_arp(port, frame) if is_arp else []
        if self.watch.is_deaf:
            return effects
        if not self.watch.admit(now):
            return effects + self._table.filters(has_claims=False, is_all=True)
        if is_arp:
            packet = arp.decode(frame)
            return effects + self._judge(port, packet.sender_ip, packet.sender_mac, now)
        return effects + self._claim_ndp(port, frame, now)

    def _claim_ndp(self, port: Port, frame: bytes, now: float) -> list[Layer2Effect]:
        """Judge an advertisement or a solicitation's source, or answer a probe.

        A probe for a duplicate address claims nothing, and is answered to all nodes, as RFC 4861
        §7.2.4 wants it; MetalLB 0.16 lets the prober take the address.
        """
        link_local = port.interface.link_local
        if link_local is None:
            return []
        asked = ndp.check_solicitation(frame, link_local)
        if asked is Drop.NO_SOURCE_LL:
            probed = self._table.book.find(frame[62:78])
            return [] if probed is None else [*port.round(probed)]
        if isinstance(asked, ndp.Solicitation):
            reply = self._reply_ndp(port, asked)
            mac = asked.source_link_layer or asked.source_mac
            answer = (
                [] if isinstance(reply, Drop) else [SendFrame(interface=port.index, frame=reply)]
            )
            return [*answer, *self._judge(port, asked.source, mac, now)]
        try:
            heard = ndp.decode_advertisement(frame)
        except WireError:
            self.drops[Drop.MALFORMED] += 1
            return []
        return self._judge(port, heard.target, heard.target_link_layer or heard.source_mac, now)

    def _judge(self, port: Port, packed: bytes, mac: bytes, now: float) -> list[Layer2Effect]:
        address = self._table.book.find(packed)
        if address is None or not port.carries(address) or mac in self.own_macs:
            return []
        if address.text in self.left:
            return []  # It speaks until it is gone, and a defence would call clients over.
        claim = Claim(port.interface.name, address.text, mac)
        verdict = self.watch.judge(claim, now, yields=self._yields(address, mac))
        effects: list[Layer2Effect] = []
        if verdict.is_defended:
            is_member = verdict.claimant is Claimant.MEMBER
            effects += port.round(address) if is_member else port.defence(address)
        if verdict.told is not None:
            is_stranger = verdict.claimant is Claimant.STRANGER
            effects.append(ConflictFound(verdict.told, is_stranger=is_stranger))
        return effects

    def _yields(self, address: Address, mac: bytes) -> bool:
        """Return whether a member stands before this node for everything that wants an address."""
        node = self.watch.member_of(mac)
        services = self._table.services_of(address)
        return bool(node) and not any(self._ownership.precedes(s, node) for s in services)


def _reply_arp(port: Port, frame: bytes) -> list[Layer2Effect]:
    """Answer a claim that asks as well: a gratuitous request, or one from the address itself."""
    answer = port.arp.get(frame[38:42])
    if answer is None or not arp.is_request(frame, port.interface.mac):
        return []
    template, counter = answer
    counter.answers += 1
    return [SendFrame(port.index, arp.reply(frame, template))]

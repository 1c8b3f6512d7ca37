"""The announcer without its sockets: membership and responder put together.

Facts come from the brain, the membership socket, the links and one timer; effects go to the wire.
The rules that live here and nowhere else:

* no address is owned before the brain's first desired state and the node's links are known and the
  membership socket is open;
* the **lease**: a brain that says nothing for `lease_s` has its addresses withdrawn;
* what a member's going up or down means for the answers is done before the datagrams that tell
  others that it is done;
* once a member that came back acts on our being alive, everything we own is announced again, at
  most every `REFRESH_INTERVAL_S`, because until then it may have answered for it;
* what was left with a host whose speaker went on purpose is not announced as long as the host
  carries on (`lull`);
* a lost carrier under the membership's own address withdraws before anything else is done, a
  carrier that is back is believed after everything else was done;
* the **note**: every member is told which MAC addresses are ours, so that it can tell us from a
  stranger, and which services none of our running interfaces can carry, so that it takes them.

It does not do: sockets, clocks, log lines; and it keeps nothing of the membership but the members'
notes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mercurylb.announcer import observing
from mercurylb.announcer.lull import Lull
from mercurylb.announcer.notebook import Notebook
from mercurylb.layer2.effect import (
    ChangeFilter,
    CloseInterface,
    ConflictFound,
    JoinGroup,
    Layer2Effect,
    LeaveGroup,
    OpenInterface,
    SendFrame,
)
from mercurylb.membership.member import (
    Exchange,
    Left,
    MemberDown,
    MemberHearsUs,
    MemberNote,
    Membership,
    MembershipEffect,
    MemberUp,
    ProbeKernel,
    SendDatagram,
    StreamDecoder,
)
from mercurylb.plan.desired import BrainMessage, DesiredState, Detections, Observation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mercurylb.layer2.interface import NodeInterfaces
    from mercurylb.layer2.responder import OwnedAddresses, Responder
    from mercurylb.membership.member import DownReason

REFRESH_INTERVAL_S = 0.3


class Observe(msgspec.Struct, frozen=True):
    """What the brain was told last is out of date."""


class Tell(msgspec.Struct, frozen=True):
    """Log an event an operator would tell a colleague."""

    event: str
    fields: dict[str, object]
    level: str = "info"


class Finish(msgspec.Struct, frozen=True):
    """The planned stop is complete: nothing is answered any more."""


PortEffect = SendFrame | OpenInterface | CloseInterface | ChangeFilter | JoinGroup | LeaveGroup
CoreEffect = PortEffect | SendDatagram | Exchange | ProbeKernel | Observe | Tell | Finish


class AnnouncerCore:
    """Turn what is desired and who is alive into what happens on the wire."""

    def __init__(
        self, node: str, membership: Membership, responder: Responder, *, lease_s: float
    ) -> None:
        self.responder = responder
        """For the hot path: `answer_arp` and `answer_ndp` need nothing of the rest."""
        self.membership = membership
        self._node = node
        self._lease_s = lease_s
        self._lease_until: float | None = None
        self._revision = 0
        self._has_desired = False
        self._has_links = False
        self._has_transport = False
        self._has_carrier = True
        self._peers: frozenset[str] = frozenset()
        self._notebook = Notebook()
        self._lull = Lull()
        self._detections = Detections()
        self._refresh_at: float | None = None
        self._refreshed_at = float("-inf")
        self._seen_owned = responder.owned
        """The responder gives the same object as long as nothing changes."""
        self._owned: dict[str, OwnedAddresses] = {}
        self._live: frozenset[str] | None = frozenset()

    # --- facts -------------------------------------------------------------------------------

    def on_brain_message(self, message: BrainMessage, now: float) -> list[CoreEffect]:
        """Take over what the brain wants, or that it still wants it."""
        self._lease_until = now + self._lease_s
        effects: list[CoreEffect] = []
        if isinstance(message, DesiredState):
            is_first = not self._has_desired
            self._has_desired = True
            self._revision = message.revision
            self._peers = frozenset(member.node for member in message.members)
            self._lull.on_members(message.members)
            effects += self._apply(self.membership.on_peers(message.members, now), now)
            effects += self._take_macs(now)
            effects += _told(self.responder.on_desired(message.layer2, now))
            if is_first:
                effects.append(Tell("announcer.first_desired_state", {"revision": self._revision}))
            effects.append(Observe())
        return self._finish(effects + self._consider_ready(now), now)

    def on_links(
        self, found: NodeInterfaces, now: float, *, has_carrier: bool = True
    ) -> list[CoreEffect]:
        """Take over the node's interfaces.

        `has_carrier` is whether the link that has the membership's own address runs.
        """
        self._has_links = True
        effects: list[CoreEffect] = []
        if not has_carrier:
            effects += self._take_carrier(False, now)
        effects += _told(self.responder.on_interfaces(found, now))
        if has_carrier:
            effects += self._take_carrier(True, now)
        return self._finish([*effects, Observe(), *self._consider_ready(now)], now)

    def on_transport(self, now: float) -> list[CoreEffect]:
        """Take note that datagrams can be received: who cannot hear the others owns nothing."""
        self._has_transport = True
        return self._finish(self._consider_ready(now), now)

    def on_datagram(self, source: str, port: int, payload: bytes, now: float) -> list[CoreEffect]:
        """Take in a datagram of the membership."""
        return self._finish(
            self._apply(self.membership.on_datagram(source, port, payload, now), now), now
        )

    def on_refused(self, address: str, now: float) -> list[CoreEffect]:
        """Take in that the kernel of an address says: nobody listens on the membership port."""
        return self._finish(self._apply(self.membership.on_refused(address, now), now), now)

    def on_kernel_answer(self, address: str, now: float) -> list[CoreEffect]:
        """Take in that the kernel of an address answered a `ProbeKernel`."""
        self._lull.on_answer(address)
        return self._finish(self._apply(self.membership.on_kernel_answer(address, now), now), now)

    def stream_decoder(self) -> StreamDecoder:
        """Return what reads one connection, accepted or opened."""
        return self.membership.stream_decoder()

    def on_request(
        self, source: str, message: object, now: float
    ) -> tuple[list[CoreEffect], bytes | None]:
        """Take in the request of an accepted connection; return also the reply, None to close."""
        effects, reply = self.membership.on_request(source, message, now)
        return self._finish(self._apply(effects, now), now), reply

    def on_reply(self, exchange: int, message: object | None, now: float) -> list[CoreEffect]:
        """Take in how an `Exchange` ended; None is without a readable reply."""
        return self._finish(self._apply(self.membership.on_reply(exchange, message, now), now), now)

    def on_claim(self, interface: int, frame: bytes, now: float) -> list[CoreEffect]:
        """Take in a frame that `answer_arp` or `answer_ndp` said is a claim."""
        return self._finish(_told(self.responder.on_claim(interface, frame, now)), now)

    def on_frame(self, interface: int, frame: bytes, now: float) -> list[CoreEffect]:
        """Take in a received frame; the wire asks the responder directly instead."""
        return self._finish(_told(self.responder.on_frame(interface, frame, now)), now)

    def on_stop(self, now: float) -> list[CoreEffect]:
        """Begin the planned stop; `Finish` follows, at once or later."""
        return self._finish(self._apply(self.membership.on_leave(now), now), now)

    def next_deadline(self) -> float | None:
        """Return the earliest deadline of all parts."""
        deadlines = (
            self.membership.next_deadline(),
            self.responder.next_deadline(),
            self._lull.next_deadline(),
            self._lease_until,
            self._refresh_at,
        )
        return min((at for at in deadlines if at is not None), default=None)

    def on_deadline(self, now: float) -> list[CoreEffect]:
        """Do what is due in any part."""
        effects = self._apply(_due(self.membership, now), now)
        deadline = self.responder.next_deadline()
        if deadline is not None and now >= deadline:
            effects += _told(self.responder.on_deadline(now))
        effects += self._look_after_leavers(now)
        if self._refresh_at is not None and now >= self._refresh_at:
            effects += self._refresh(now)
        if self._lease_until is not None and now >= self._lease_until:
            self._lease_until = None
            effects.append(Tell("announcer.lease_expired", {}, level="error"))
            effects += self._apply(self.membership.on_ready(False, now), now)
        return self._finish(effects, now)

    def observation(
        self,
        now: float,
        *,
        loop_lag_s: float = 0.0,
        scheduling: str = "",
        drops: Mapping[str, int] | None = None,
    ) -> Observation:
        """Return what the brain should know now; `drops` are those of the sockets, by reason."""
        live = self.membership.live()
        others = {"note malformed": self._notebook.malformed_count, **(drops or {})}
        return Observation(
            revision=self._revision,
            owned=observing.owned_services(self.responder),
            live=(self._node,) if live is None else tuple(sorted(live)),
            interfaces=self.responder.interface_names,
            counters=observing.address_counters(self.responder),
            loop_lag_s=loop_lag_s,
            members=observing.member_states(self.membership, now),
            conflicts=observing.conflicts(self.responder, now),
            drops=observing.drops(self.responder, self.membership, others),
            detections=self._detections,
            scheduling=scheduling,
        )

    def refused(self) -> Mapping[str, int]:
        """Return how much of the membership's input was not believed, by reason."""
        return self.membership.counts()

    def validate(self) -> None:
        """Assert the invariants of all parts."""
        self.membership.validate()
        self.responder.validate()
        assert self._owned == {owned.service: owned for owned in self.responder.owned}
        assert not self._owned or self._has_desired
        self._notebook.validate()

    def _consider_ready(self, now: float) -> list[CoreEffect]:
        has_all = self._has_desired and self._has_links and self._has_transport
        if not has_all or self._lease_until is None:
            return []
        return self._tell_note(now) + self._apply(self.membership.on_ready(True, now), now)

    def _apply(self, effects: list[MembershipEffect], now: float) -> list[CoreEffect]:
        """Translate what the membership says, keeping its order."""
        applied: list[CoreEffect] = []
        self._lull.on_membership(effects, now)
        silences = observing.silences(self.membership, effects, now)
        for effect in effects:
            match effect:
                case SendDatagram() | Exchange() | ProbeKernel():
                    applied.append(effect)
                case MemberUp(node=node):
                    applied += self._take_live(now)
                    applied += self._take_macs(now)
                    applied.append(Tell("membership.up", {"node": node}))
                case MemberDown(node=node, reason=reason):
                    applied += self._take_live(now)
                    applied.append(self._tell_down(node, reason, silences.get(node)))
                case MemberNote(node=node, note=received):
                    applied += self._take_note(node, received, now)
                case MemberHearsUs():
                    self._refresh_at = max(now, self._refreshed_at + REFRESH_INTERVAL_S)
                    if self._refresh_at <= now:
                        applied += self._refresh(now)
                case Left():
                    applied += self._take_live(now)
                    applied.append(Finish())
        return applied

    def _look_after_leavers(self, now: float) -> list[CoreEffect]:
        """Ask the hosts that carry on, and announce what they carry no more."""
        asked, over = self._lull.on_deadline(now)
        effects: list[CoreEffect] = [ProbeKernel(address) for address in asked]
        effects += self._apply_live(now) if over else []
        for node, reason in over.items():
            effects.append(Tell("layer2.taken_over", {"node": node, "reason": reason}))
        return effects

    def _tell_down(self, node: str, reason: DownReason, silent_s: float | None) -> Tell:
        """Tell of a loss; who found it out knows for how long nothing had been heard."""
        fields: dict[str, object] = {"node": node, "reason": reason.value}
        if silent_s is not None:
            self._detections = self._detections.added(silent_s)
            fields["silent_ms"] = round(silent_s * 1000)
        return Tell("membership.down", fields)

    def _take_live(self, now: float) -> list[CoreEffect]:
        live = self.membership.live()
        if live == self._live:
            return []
        self._live = live
        return self._apply_live(now)

    def _apply_live(self, now: float) -> list[CoreEffect]:
        unable, left = self._notebook.unable(), self._lull.nodes
        effects = _told(self.responder.on_live(self._live, now, unable=unable, left=left))
        self._lull.watch(self.responder.left_with, now)
        return [*effects, Observe()]

    def _take_carrier(self, has_carrier: bool, now: float) -> list[CoreEffect]:  # noqa: FBT001
        if has_carrier == self._has_carrier:
            return []
        self._has_carrier = has_carrier
        return self._apply(self.membership.on_carrier(has_carrier, now), now)

    def _tell_note(self, now: float) -> list[CoreEffect]:
        """Say what we are, once we know it, when it is another thing than we said last."""
        if not (self._has_desired and self._has_links):
            return []
        note = self._notebook.tell(self.responder.macs, self.responder.unable)
        return [] if note is None else self._apply(self.membership.on_note(note, now), now)

    def _take_note(self, node: str, received: bytes, now: float) -> list[CoreEffect]:
        change = self._notebook.take(node, received)
        effects: list[CoreEffect] = []
        if change.has_unable:
            effects += self._apply_live(now)
        if change.has_macs:
            effects += self._take_macs(now)
        return effects

    def _take_macs(self, now: float) -> list[CoreEffect]:
        """Say which MAC addresses are members', and whether some member has not told its own."""
        others = (self.membership.live() or frozenset()) - {self._node} | self._peers
        has_unknown = not self._notebook.has_all(others)
        macs = self._notebook.macs()
        return _told(self.responder.on_member_macs(macs, now, has_unknown_members=has_unknown))

    def _refresh(self, now: float) -> list[CoreEffect]:
        self._refresh_at = None
        self._refreshed_at = now
        return _told(self.responder.refresh(now))

    def _finish(self, effects: list[CoreEffect], now: float) -> list[CoreEffect]:
        """Add what all facts have in common: our note, and the story of who owns what."""
        effects += self._tell_note(now)
        if self.responder.owned is self._seen_owned:
            return effects
        self._seen_owned = self.responder.owned
        owned = {owned.service: owned for owned in self._seen_owned}
        before, self._owned = self._owned, owned
        for name in sorted(owned.keys() - before.keys()):
            fields: dict[str, object] = {"service": name, "ips": list(owned[name].addresses)}
            effects.append(Tell("layer2.announced", fields))
        effects += [
            Tell("layer2.withdrawn", {"service": name})
            for name in sorted(before.keys() - owned.keys())
        ]
        effects.append(Observe())
        return effects


def _told(effects: list[Layer2Effect]) -> list[CoreEffect]:
    """Add what people should hear of; a conflict is nothing but that."""
    told: list[CoreEffect] = []
    for effect in effects:
        if not isinstance(effect, ConflictFound):
            told.append(effect)
        if isinstance(effect, OpenInterface):
            told.append(Tell("layer2.interface_opened", {"interface": effect.interface.name}))
        elif isinstance(effect, CloseInterface):
            told.append(Tell("layer2.interface_closed", {"index": effect.interface}))
        elif isinstance(effect, ConflictFound):
            told += [_conflict(effect), Observe()]
    return told


def _conflict(found: ConflictFound) -> Tell:
    level = "warn" if found.is_stranger else "info"
    return Tell("layer2.conflict", observing.conflict_fields(found), level=level)


def _due(membership: Membership, now: float) -> list[MembershipEffect]:
    deadline = membership.next_deadline()
    return [] if deadline is None or now < deadline else membership.on_deadline(now)

"""A machine on the network: its kernel, its link, its clock, and the process that may run on it.

What a process cannot take because it is stopped or starved waits in its sockets, up to what their
buffers hold, and is handed over when it goes on, after what is due.
"""

from __future__ import annotations

import collections
import functools
import ipaddress
from typing import TYPE_CHECKING

from mercurylb.announcer.core import Finish, Tell
from mercurylb.layer2 import arp
from mercurylb.layer2.effect import ChangeFilter, SendFrame
from mercurylb.membership.member import Exchange, ProbeKernel, SendDatagram
from tests.sim.world.connection import Connection
from tests.sim.world.process import PORT

if TYPE_CHECKING:
    from collections.abc import Callable

    from mercurylb.announcer.core import CoreEffect
    from tests.sim.world.clock import Clock
    from tests.sim.world.cluster import Cluster
    from tests.sim.world.process import Process

INBOX_MAX = 400
"""What a socket's buffer holds of small datagrams."""
LONG_S = 1.2
"""Longer than this a process may stand still only if it forgets what it owned."""
REFUSALS_MAX = 6
"""Linux tells each host at most so many errors in a row (ICMP), then one in a second."""


class Node:
    """One machine."""

    def __init__(self, world: Cluster, number: int, clock: Clock, *, is_go: bool) -> None:
        self.world = world
        self.number = number
        self.name = f"node-{number}"
        self.address = str(ipaddress.ip_address("10.0.0.0") + number)
        self.mac = bytes((2, 0, 0, 0, number >> 8, number & 0xFF))
        self.clock = clock
        self.is_go = is_go
        self.process: Process | None = None
        self.is_up = True
        """The machine has power."""
        self.has_carrier = True
        self.is_paused = False
        self.is_leaving = False
        self.stalled_until = 0.0
        self.stall_max_s = 0.0
        """Above 0 the processors are crowded: the process waits for up to this long, often."""
        self.brain_revision = 0
        self.has_brain = True
        self._inbox: collections.deque[Callable[[], None]] = collections.deque()
        self._timer_at: float | None = None
        self._targets: frozenset[bytes] = frozenset()
        self._refusals: dict[str, tuple[float, float]] = {}
        self._step_count = 0
        self._frozen_at: float | None = None

    # --- its state ---------------------------------------------------------------------------

    @property
    def is_frozen(self) -> bool:
        """Say whether the process does not get to run."""
        return self.is_paused or self.world.now < self.stalled_until

    @property
    def is_heard(self) -> bool:
        """Say whether an observer on the LAN's side 0 can hear it."""
        return (
            self.is_up
            and self.has_carrier
            and self.name not in self.world.network.isolated
            and self.world.network.group_of.get(self.name, 0) == 0
        )

    @property
    def is_able(self) -> bool:
        """Say whether it should own what it is first for."""
        return (
            self.process is not None
            and self.process.is_ready
            and not self.is_leaving
            and not self.is_paused
            and self.has_carrier
        )

    def begin(self, process: Process) -> None:
        """Run a process."""
        self.process = process
        self.is_leaving = self.is_paused = False
        self.stalled_until = 0.0
        self._forget()
        self.perform(process.on_start(has_carrier=self.has_carrier, now=self.clock.now()))

    def end(self) -> None:
        """Have no process any more; what waits for it is lost."""
        self.process = None
        self.is_leaving = self.is_paused = False
        self._forget()
        self.note_answers()

    def _forget(self) -> None:
        self._frozen_at = None
        self._inbox.clear()
        self._timer_at = None
        self._targets = frozenset()

    def pause(self) -> None:
        """Stop the process where it stands."""
        self._freeze()
        self.is_paused = True
        self.note_answers()

    def go_on(self) -> None:
        """Let a stopped process run again."""
        self.is_paused = False
        self.wake()

    def stall(self, seconds: float) -> None:
        """Let the process wait for a processor."""
        self._freeze()
        self.stalled_until = max(self.stalled_until, self.world.now + seconds)
        self.world.timeline.at(self.stalled_until, self.wake)

    def _freeze(self) -> None:
        if not self.is_frozen:
            self._frozen_at = self.world.now

    def _check_awakened(self, process: Process) -> None:
        """Whoever stood still for long answers nobody before it knows that it may."""
        stood_still_s = self.world.now - (self._frozen_at or self.world.now)
        self._frozen_at = None
        if stood_still_s > LONG_S and not self.is_go and process.answered:
            raise AssertionError(f"{self.name} stood still for {stood_still_s:.1f} s and answers")

    # --- inputs ------------------------------------------------------------------------------

    def give(self, call: Callable[[Process], list[CoreEffect]]) -> None:
        """Let something happen to the process that runs now, once it gets to run."""
        process = self.process
        if process is None:
            return
        if self.is_frozen:
            if len(self._inbox) < INBOX_MAX:
                self._inbox.append(functools.partial(self._take, process, call))
            else:
                self.world.network.seen["overflow"] += 1
            return
        self.perform(call(process))

    def _take(self, process: Process, call: Callable[[Process], list[CoreEffect]]) -> None:
        if self.process is process:
            self.perform(call(process))

    def wake(self) -> None:
        """Take what has come meanwhile, if the process gets to run."""
        process = self.process
        if self.is_frozen or process is None:
            return
        chance = self.world.chance
        self._fire_due()
        self._check_awakened(process)
        while self._inbox and not self.is_frozen:
            for _ in range(min(len(self._inbox), chance.randrange(1, 64))):
                self._inbox.popleft()()
                if not self._inbox:
                    break
            self._fire_due()
        self._fire_due()
        self.note_answers()

    def _fire_due(self) -> None:
        process = self.process
        if process is None:
            return
        deadline, now = process.next_deadline(), self.clock.now()
        if deadline is not None and deadline <= now:
            self.perform(process.on_deadline(now))
        else:
            self._arm(process)

    def _fire(self, planned: float) -> None:
        if self._timer_at != planned or self.process is None or self.is_frozen:
            return
        self._timer_at = None
        process = self.process
        deadline = process.next_deadline()
        now = self.clock.now()
        if deadline is not None and deadline <= now + 1e-9:
            self.perform(process.on_deadline(max(now, deadline)))
        else:
            self._arm(process)

    def _arm(self, process: Process) -> None:
        deadline = process.next_deadline()
        if deadline is None:
            return
        at = max(self.clock.when(deadline), self.world.now)
        if self._timer_at is None or at < self._timer_at or self._timer_at < self.world.now:
            self._timer_at = at
            self.world.timeline.at(at, functools.partial(self._fire, at))

    # --- effects -----------------------------------------------------------------------------

    def perform(self, effects: list[CoreEffect]) -> None:
        """Carry out what the process wants, in order, and set its timer."""
        process = self.process
        if process is None:
            return
        self._step_count += 1
        if self._step_count % self.world.validate_every == 0 or any(
            isinstance(effect, Tell) for effect in effects
        ):
            process.validate()
        for effect in effects:
            self._perform(effect)
        if self.process is process:
            self._arm(process)

    def _perform(self, effect: CoreEffect) -> None:
        match effect:
            case SendDatagram():
                self._send(effect)
            case ProbeKernel():
                self._probe(effect.address)
            case Tell():
                self.world.tell(self, effect)
                self.note_answers()
            case Exchange():
                Connection(self.world, self, effect).begin()
            case SendFrame():
                self.world.broadcast(self, effect.frame)
            case ChangeFilter():
                self._targets = frozenset((*effect.arp, *effect.ndp))
            case Finish():
                self.world.finished(self)

    def note_answers(self) -> None:
        """Tell the ledger what a client would see now."""
        process = self.process
        is_silent = process is None or self.is_paused or not self.is_up
        answered = frozenset() if is_silent or process is None else process.answered
        self.world.note_answers(self, answered)

    def _send(self, datagram: SendDatagram) -> None:
        world = self.world
        receiver = world.by_address.get(datagram.address)
        if receiver is None or receiver is self:
            return
        world.network.seen["datagram"] += 1
        for flight_s in world.network.flights(self.name, receiver.name):
            world.timeline.after(
                flight_s, functools.partial(receiver.arrive, self, datagram.payload)
            )

    def arrive(self, sender: Node, payload: bytes) -> None:
        """Let a datagram reach this machine."""
        if not self.is_up:
            return
        if self.process is None:
            self._refuse(sender)
            return
        self.give(lambda process: process.on_datagram(sender.address, PORT, payload, self._now()))

    def _refuse(self, sender: Node) -> None:
        if not self.world.shape.has_icmp:
            return
        tokens, at = self._refusals.get(sender.name, (float(REFUSALS_MAX), self.world.now))
        tokens = min(float(REFUSALS_MAX), tokens + self.world.now - at)
        is_told = tokens >= 1.0
        self._refusals[sender.name] = (tokens - 1.0 if is_told else tokens, self.world.now)
        if not is_told:
            return
        self.world.network.seen["refusal"] += 1
        for flight_s in self.world.network.flights(self.name, sender.name)[:1]:
            self.world.timeline.after(
                flight_s, lambda: sender.give(lambda p: p.on_refused(self.address, sender._now()))
            )

    def _probe(self, address: str) -> None:
        world = self.world
        asked = world.by_address.get(address)
        if asked is None:
            return
        world.network.seen["probe"] += 1
        for flight_s in world.network.flights(self.name, asked.name)[:1]:
            world.timeline.after(flight_s, lambda: asked._answer_probe(self))

    def _answer_probe(self, asker: Node) -> None:
        if not (self.is_up and self.has_carrier):
            return
        self.world.network.seen["kernel answer"] += 1
        for flight_s in self.world.network.flights(self.name, asker.name)[:1]:
            self.world.timeline.after(
                flight_s,
                lambda: asker.give(lambda p: p.on_kernel_answer(self.address, asker._now())),
            )

    def hears(self, frame: bytes) -> None:
        """Let a broadcast frame reach the machine's kernel filter."""
        if self.is_up and self.process is not None and claimed_ip(frame) in self._targets:
            self.give(lambda process: process.on_announcement(frame, self._now()))

    def _now(self) -> float:
        return self.clock.now()


def claimed_ip(frame: bytes) -> bytes:
    """Return the address that an ARP frame or a neighbour advertisement claims."""
    return frame[28:32] if frame[12:14] == arp.ETHERTYPE else frame[62:78]

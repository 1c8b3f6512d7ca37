"""Faults as verbs: cables, interfaces, lossy and blocked paths, partitions, foreign claims.

Cables are cut at the bridge, so the host sees its carrier go; an interface is set down in the host
itself, which takes its routes along until it is set up again.  Everything else is one nftables
table in the LAN's namespace, rendered anew from the recorded faults at each change and loaded
atomically.  The kernel at hand has no netem; delay is a relay process between a host's cable and
the bridge.

Faults are written to ``faults.json`` so that a command and a test see the same ones.
"""

from __future__ import annotations

import ipaddress
import itertools
import json
import socket
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Final

from lab import binaries, netns, topology
from lab.errors import LabError
from lab.observe import frames
from lab.topology import HostPlan

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lab.site import Site

_SHARE_STEPS: Final = 10_000
_FOREIGN_NUMBER: Final = 60


@dataclass(frozen=True, slots=True)
class Drop:
    """Frames to be lost: a share of those from and of those to a host.

    ``match`` narrows it down in nftables' words, such as ``udp dport 7946``.
    """

    host: str
    share: float
    to_host: bool
    from_host: bool
    match: str = ""


@dataclass(slots=True)
class State:
    """All faults in force."""

    cut: list[str] = field(default_factory=list)
    down: list[str] = field(default_factory=list)
    drops: list[Drop] = field(default_factory=list)
    blocked: list[tuple[str, str]] = field(default_factory=list)
    delayed: dict[str, float] = field(default_factory=dict)


def render(state: State) -> str:
    """Return the nftables script for the drops and blocked paths; it replaces what was there."""
    before, through = [], []
    for drop in state.drops:
        verdict = f"{drop.match} {_lottery(drop.share)}drop".strip()
        if drop.from_host:
            before.append(f'    iifname "{drop.host}" {verdict}')
        if drop.to_host:
            through.append(f'    oifname "{drop.host}" {verdict}')
    through += [f'    iifname "{a}" oifname "{b}" drop' for a, b in state.blocked]
    return "\n".join(
        [
            "table bridge faults",
            "delete table bridge faults",
            "table bridge faults {",
            "  chain before {",
            "    type filter hook prerouting priority -300",
            *before,
            "  }",
            "  chain through {",
            "    type filter hook forward priority 0",
            *through,
            "  }",
            "}",
            "",
        ]
    )


def split_pairs(groups: Sequence[Iterable[str]]) -> list[tuple[str, str]]:
    """Return every directed pair of hosts that lie in different groups."""
    pairs = []
    for one, other in itertools.permutations([sorted(group) for group in groups], 2):
        pairs += [(a, b) for a in one for b in other]
    return pairs


class Faults:
    """The faults of one lab."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._file = site.dir / "faults.json"

    def state(self) -> State:
        """Return the faults in force."""
        if not self._file.exists():
            return State()
        fields = json.loads(self._file.read_text())
        return State(
            cut=fields["cut"],
            down=fields.get("down", []),
            drops=[Drop(**drop) for drop in fields["drops"]],
            blocked=[(a, b) for a, b in fields["blocked"]],
            delayed=fields["delayed"],
        )

    def cut(self, *hosts: str) -> None:
        """Pull hosts' cables; those hosts see their carrier go."""
        state = self.state()
        for host in hosts:
            self._cable(host, "down")
        state.cut = sorted({*state.cut, *hosts})
        self._save(state)

    def link_down(self, *hosts: str) -> None:
        """Set the interface of hosts down, on their own side."""
        state = self.state()
        for host in hosts:
            netns.ip(self._site.namespace(host), "link", "set", "eth0", "down")
        state.down = sorted({*state.down, *hosts})
        self._save(state)

    def link_up(self, *hosts: str) -> None:
        """Set the interface of hosts up again, with the addresses and routes it had."""
        state = self.state()
        for host in hosts:
            topology.reconfigure(self._site.plan, host)
        state.down = sorted({*state.down} - {*hosts})
        self._save(state)

    def heal(self, *hosts: str) -> None:
        """End every fault of the named hosts, or all faults when none is named."""
        state = self.state()
        chosen = set(hosts) or {*state.cut, *state.down, *state.delayed}
        for host in sorted(chosen & set(state.down)):
            topology.reconfigure(self._site.plan, host)
        for host in sorted(chosen & set(state.delayed)):
            self._end_delay(host)
            del state.delayed[host]
        for host in sorted(chosen & set(state.cut)):
            self._cable(host, "up")
        state.cut = [host for host in state.cut if host not in chosen]
        state.down = [host for host in state.down if host not in chosen]
        if hosts:
            state.drops = [drop for drop in state.drops if drop.host not in chosen]
            state.blocked = [pair for pair in state.blocked if not chosen & set(pair)]
        else:
            state.drops, state.blocked = [], []
        self._save(state)

    def drop(self, host: str, share: float, *, direction: str = "both", match: str = "") -> None:
        """Lose a share (0 to 1) of a host's frames: those ``from`` it, ``to`` it, or ``both``."""
        if not 0.0 <= share <= 1.0:
            raise LabError(f"share {share}: give a number from 0 to 1")
        self._site.namespace(host)
        to_host, from_host = direction in ("to", "both"), direction in ("from", "both")
        state = self.state()
        state.drops.append(Drop(host, share, to_host, from_host, match))
        self._save(state)

    def block(self, source: str, target: str) -> None:
        """Let nothing pass from one host to another; the way back stays open."""
        self._site.namespace(source)
        self._site.namespace(target)
        state = self.state()
        state.blocked.append((source, target))
        self._save(state)

    def partition(self, *groups: Iterable[str]) -> None:
        """Let hosts reach only their own group; hosts in no group reach everybody."""
        parts = [sorted(group) for group in groups]
        for host in itertools.chain.from_iterable(parts):
            self._site.namespace(host)
        state = self.state()
        state.blocked = split_pairs(parts)
        self._save(state)

    def delay(self, host: str, delay_s: float, jitter_s: float = 0.0) -> None:
        """Hold every frame from and to a host back for a while, by a relay on its cable."""
        self._site.namespace(host)
        state = self.state()
        if host in state.delayed:
            self._end_delay(host)
        lan, middle = self._site.plan.lan, f"{host}-d"
        netns.ip_batch(
            lan,
            [
                f"link add {middle} type veth peer name {host}-b",
                f"link set {host}-b master {topology.BRIDGE}",
                f"link set {host}-b up",
                f"link set {middle} up",
                f"link set {host} nomaster",
            ],
        )
        words = [host, middle, str(delay_s), str(jitter_s)]
        argv = binaries.helper_argv("lab.relay", *words)
        self._site.start(f"delay-{host}", "lan", argv, env=binaries.helper_env())
        state.delayed[host] = delay_s
        self._save(state)

    def claim(self, address: str, host: str = "foreign") -> HostPlan:
        """Let a foreign host hold an address: its kernel answers ARP or NDP for it.

        The claim is announced once, as a configured host does.  ``release`` ends it.
        """
        plan = self._site.plan
        taken = [name for name in topology.host_namespaces(plan) if name.startswith("foreign")]
        foreign = HostPlan(host, _FOREIGN_NUMBER + len(taken))
        if host not in topology.host_namespaces(plan):
            topology.attach(plan, foreign)
        length = 128 if ":" in address else 32
        name = plan.namespace(host)
        flags = " nodad" if length == 128 else ""  # noqa: PLR2004  (bits of an IPv6 address)
        netns.ip_batch(name, [f"addr replace {address}/{length} dev eth0{flags}"])
        announce(name, address, netns.ip_json(name, "link", "show", "eth0")[0]["address"])
        return foreign

    def release(self, host: str = "foreign") -> None:
        """Remove a foreign host and its claims."""
        if not host.startswith("foreign"):
            raise LabError(f"{host} is no foreign host; their names start with `foreign`")
        netns.delete(self._site.plan.namespace(host))

    def _cable(self, host: str, to: str) -> None:
        self._site.namespace(host)
        netns.ip(self._site.plan.lan, "link", "set", host, to)

    def _end_delay(self, host: str) -> None:
        relay = self._site.processes.get(f"delay-{host}")
        lan = self._site.plan.lan
        netns.ip_batch(lan, [f"link del {host}-d", f"link set {host} master {topology.BRIDGE}"])
        if relay is not None:
            relay.kill()
            self._site.processes.forget(relay.name)

    def _save(self, state: State) -> None:
        netns.nft(self._site.plan.lan, render(state))
        self._file.write_text(json.dumps(asdict(state), indent=1))


def announce(namespace: str, address: str, mac: str) -> None:
    """Send one gratuitous ARP or unsolicited NA for an address from a namespace's eth0."""
    if ipaddress.ip_address(address).version == 4:  # noqa: PLR2004
        frame = frames.gratuitous_arp(mac, address)
    else:
        frame = frames.unsolicited_na(mac, address)
    with netns.inside(namespace), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind(("eth0", 0))
        raw.send(frame)


def _lottery(share: float) -> str:
    if share >= 1.0:
        return ""
    return f"numgen random mod {_SHARE_STEPS} < {round(share * _SHARE_STEPS)} "

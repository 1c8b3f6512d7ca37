"""What may be said against a controller, from the whole history of services and pools.

Everything the API server wrote bears a revision, so watches of services and of pools merge into one
story. The judge walks through it and asks of each write of a status:

* *held twice*: did a service get an address that another's status shows, without sharing rights?
* *outside*: did it get an address that its pools would not give it?
* *swapped*: did it lose an address that everything in force allowed it to keep?

A controller sees pools and services a moment later than the API server has them, so a reason counts
for `LAG_S` after it has passed. The rules are written down here once more, in the plainest way and
without the controller's code: a mistake would have to be made twice.

Pure: no clock, no I/O.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

LAG_S: Final = 3.0
SHARING: Final = "metallb.io/allow-shared-ip"
WANTED: Final = "metallb.io/loadBalancerIPs"
WANTED_POOL: Final = "metallb.io/address-pool"
_HISTORY_MAX: Final = 40
_KEPT_EVERY: Final = 200

Json = dict[str, Any]
Ip = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Change:
    """One line of a watch: what an object was from a revision on; None when it was gone."""

    revision: int
    at: float
    """Seconds, of any clock that only goes forward."""
    kind: str
    """`service` or `pool`."""
    key: str
    object: Json | None


@dataclass(frozen=True)
class Wish:
    """What of a service decides about addresses, apart from its status."""

    namespace: str
    labels: tuple[tuple[str, str], ...]
    is_wanted: bool
    families: frozenset[int]
    policy: str
    ports: frozenset[tuple[str, int]]
    sharing: str
    backend: str
    requested: tuple[Ip, ...]
    requested_pool: str

    def may_share(self, other: Wish) -> bool:
        """Tell whether two services may be on one address."""
        is_same = (self.sharing, self.backend) == (other.sharing, other.backend)
        return bool(self.sharing) and is_same and not self.ports & other.ports


def read_wish(service: Json) -> Wish:
    """Read a service."""
    metadata, spec = service["metadata"], service["spec"]
    annotations = metadata.get("annotations", {})
    backend = ""
    if spec.get("externalTrafficPolicy") == "Local":
        backend = ",".join(f"{k}={v}" for k, v in sorted(spec.get("selector", {}).items()))
    return Wish(
        namespace=metadata["namespace"],
        labels=tuple(sorted(metadata.get("labels", {}).items())),
        is_wanted=spec.get("type") == "LoadBalancer",
        families=frozenset(parse(text).version for text in spec.get("clusterIPs", ())),
        policy=spec.get("ipFamilyPolicy", "SingleStack"),
        ports=frozenset((p.get("protocol", "TCP"), p["port"]) for p in spec.get("ports", ())),
        sharing=annotations.get(SHARING, ""),
        backend=backend,
        requested=tuple(parse(t.strip()) for t in annotations.get(WANTED, "").split(",") if t),
        requested_pool=annotations.get(WANTED_POOL, ""),
    )


def read_addresses(service: Json | None) -> tuple[Ip, ...]:
    """Read the addresses of a status, in order."""
    ingress = (service or {}).get("status", {}).get("loadBalancer", {}).get("ingress", ())
    return tuple(parse(entry["ip"]) for entry in ingress)


@cache
def parse(text: str) -> Ip:
    """Parse an address."""
    return ipaddress.ip_address(text)


@dataclass(frozen=True)
class Pool:
    """A pool as far as it decides."""

    name: str
    ranges: tuple[tuple[Ip, Ip], ...]
    auto_assign: bool = True
    avoid_buggy: bool = False
    namespaces: frozenset[str] = frozenset()
    is_pinned: bool = False

    def has(self, ip: Ip) -> bool:
        """Tell whether it gives out an address."""
        if self.avoid_buggy and ip.version == 4 and int(ip) & 0xFF in (0, 0xFF):
            return False
        return any(
            first.version == ip.version and int(first) <= int(ip) <= int(last)
            for first, last in self.ranges
        )

    def admits(self, wish: Wish) -> bool:
        """Tell whether its pinning lets a service in."""
        return not self.namespaces or wish.namespace in self.namespaces

    def addresses(self, version: int) -> Iterator[Ip]:
        """Walk through all it gives out of a family, in its order."""
        for first, last in self.ranges:
            if first.version == version:
                for number in range(int(first), int(last) + 1):
                    ip = parse_number(version, number)
                    if self.has(ip):
                        yield ip


@cache
def parse_number(version: int, number: int) -> Ip:
    """Give the address with a number."""
    kind = ipaddress.IPv4Address if version == 4 else ipaddress.IPv6Address
    return kind(number)


def read_pool(pool: Json) -> Pool:
    """Read a pool whose addresses are ranges `first-last`."""
    spec = pool["spec"]
    pinning = spec.get("serviceAllocation") or {}
    ranges = [tuple(map(parse, text.split("-"))) for text in spec["addresses"]]
    return Pool(
        name=pool["metadata"]["name"],
        ranges=tuple((first, last) for first, last in ranges),
        auto_assign=spec.get("autoAssign", True),
        avoid_buggy=spec.get("avoidBuggyIPs", False),
        namespaces=frozenset(pinning.get("namespaces", ())),
        is_pinned=bool(pinning),
    )


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that must not happen, with the story that led to it."""

    what: str
    service: str
    revision: int
    detail: str
    story: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Give the finding and its story."""
        lines = [f"{self.what}: {self.service} at revision {self.revision}: {self.detail}"]
        return "\n    ".join([*lines, *self.story])


@dataclass(slots=True)
class World:
    """What the API server held after some change."""

    services: dict[str, Json] = field(default_factory=dict)
    wishes: dict[str, Wish] = field(default_factory=dict)
    addresses: dict[str, tuple[Ip, ...]] = field(default_factory=dict)
    holders: dict[Ip, set[str]] = field(default_factory=dict)
    pools: dict[str, Pool] = field(default_factory=dict)

    def copy(self) -> World:
        """Give a world that goes its own way."""
        holders = {ip: set(keys) for ip, keys in self.holders.items()}
        return World(
            dict(self.services), dict(self.wishes), dict(self.addresses), holders, dict(self.pools)
        )

    def apply(self, change: Change) -> None:
        """Take a change."""
        key, item = change.key, change.object
        if change.kind == "pool":
            if item is None:
                self.pools.pop(key, None)
            else:
                self.pools[key] = read_pool(item)
            return
        for ip in self.addresses.pop(key, ()):
            self.holders[ip].discard(key)
        if item is None:
            self.services.pop(key, None)
            self.wishes.pop(key, None)
            return
        self.services[key] = item
        self.wishes[key] = read_wish(item)
        self.addresses[key] = read_addresses(item)
        for ip in self.addresses[key]:
            self.holders.setdefault(ip, set()).add(key)

    def why_not(self, key: str, addresses: tuple[Ip, ...], wish: Wish | None = None) -> str:
        """Say why a service (with another wish) may not have these addresses; empty when it may."""
        wish = wish or self.wishes.get(key)
        if wish is None or not wish.is_wanted:
            return "it wants none"
        return self._why_not_pool(wish, addresses) or self._why_not_alone(key, wish, addresses)

    def _why_not_pool(self, wish: Wish, addresses: tuple[Ip, ...]) -> str:
        pool = next((p for p in self.pools.values() if all(map(p.has, addresses))), None)
        if pool is None:
            return "no pool has them all"
        if not pool.admits(wish):
            return f"pool {pool.name} does not admit it"
        if wish.requested and set(wish.requested) != set(addresses):
            return "it asks for others"
        if wish.requested_pool and wish.requested_pool != pool.name:
            return "it asks for another pool"
        families = {ip.version for ip in addresses}
        if families != wish.families and not (
            wish.policy == "PreferDualStack" and families < wish.families
        ):
            return "its families are others"
        return ""

    def _why_not_alone(self, key: str, wish: Wish, addresses: tuple[Ip, ...]) -> str:
        for ip in addresses:
            for other in sorted(self.holders.get(ip, ())):
                if other != key and not wish.may_share(self.wishes[other]):
                    return f"{other} is on {ip}"
        return ""

    def could_have(self, key: str) -> tuple[Ip, ...]:
        """Give addresses that a service without any could have; none when it must wait."""
        wish = self.wishes[key]
        if wish.requested:
            if {ip.version for ip in wish.requested} != wish.families:
                return ()
            return () if self.why_not(key, wish.requested) else wish.requested
        for pool in self.pools.values():
            if wish.requested_pool != pool.name and (wish.requested_pool or not pool.auto_assign):
                continue
            if not pool.admits(wish):
                continue
            found = [self._free_in(pool, key, version) for version in sorted(wish.families)]
            got = tuple(ip for ip in found if ip is not None)
            if len(got) == len(found) or (got and wish.policy == "PreferDualStack"):
                return got
        return ()

    def _free_in(self, pool: Pool, key: str, version: int) -> Ip | None:
        wish = self.wishes[key]
        free = (ip for ip in pool.addresses(version) if not self._why_not_alone(key, wish, (ip,)))
        return next(free, None)

    def counters(self, pool: Pool) -> tuple[int, int, int, int]:
        """Count what a pool's status must say: assigned and available, of either family."""
        held = [ip for ip, keys in self.holders.items() if keys and pool.has(ip)]
        assigned = Counter(ip.version for ip in held)
        sizes = {version: sum(1 for _ in pool.addresses(version)) for version in (4, 6)}
        return (assigned[4], assigned[6], sizes[4] - assigned[4], sizes[6] - assigned[6])


class Judge:
    """Walks through a history."""

    def __init__(self, *, lag_s: float = LAG_S, notes: Sequence[tuple[float, str]] = ()) -> None:
        self._notes = notes
        self.world = World()
        self.findings: list[Finding] = []
        self.counts: Counter[str] = Counter()
        """How often which kind of thing happened: a test that saw nothing proves nothing."""
        self._lag_s = lag_s
        self._changes: list[Change] = []
        self._since: dict[str, float] = {}
        self._kept: list[tuple[int, tuple[float, World]]] = []

    def take(self, changes: Iterable[Change]) -> None:
        """Take a complete history, of any order."""
        for change in sorted(changes, key=lambda c: c.revision):
            self._take(change)

    def _take(self, change: Change) -> None:
        key = change.key
        before = self.world.addresses.get(key, ()) if change.kind == "service" else ()
        if len(self._changes) % _KEPT_EVERY == 0:
            self._kept.append((len(self._changes), (change.at, self.world.copy())))
        self._changes.append(change)
        self.world.apply(change)
        self.counts[f"{change.kind}s changed"] += 1
        if change.kind != "service":
            return
        after = self.world.addresses.get(key, ())
        if change.object is None or after == before:
            return
        self._judge(change, before, after)
        self._since[key] = change.at

    def _judge(self, change: Change, before: tuple[Ip, ...], after: tuple[Ip, ...]) -> None:
        key = change.key
        lost = set(before) - set(after)
        gained = set(after) - set(before)
        if gained:
            self.counts["given"] += 1
            self._judge_gain(change, after)
        if lost:
            self.counts["moved" if after else "emptied"] += 1
            since = self._since.get(key, change.at)
            is_refused = self.world.why_not(key, before)
            if not is_refused and not self._was_ever_refused(change, before, since - self._lag_s):
                self._find("swapped" if after else "taken away", change, f"{before} → {after}")
        if not lost and not gained:
            self._find("reordered", change, f"{before} → {after}")

    def _judge_gain(self, change: Change, after: tuple[Ip, ...]) -> None:
        reason = self.world.why_not(change.key, after)
        if not reason or self._was_ever_allowed(change, after):
            return
        self._find("held twice" if " is on " in reason else "outside", change, reason)

    def _was_ever_refused(self, change: Change, addresses: tuple[Ip, ...], begin: float) -> bool:
        """Tell whether a service's addresses were refused to it at any time before a change."""
        return any(world.why_not(change.key, addresses) for world in self._worlds(begin))

    def _was_ever_allowed(self, change: Change, addresses: tuple[Ip, ...]) -> bool:
        """Tell whether a service as it is now could have had addresses a moment ago.

        A patch names the version of the service that it is for; of pools and others a controller
        may know less.
        """
        wish, begin = self.world.wishes[change.key], change.at - self._lag_s
        return any(not w.why_not(change.key, addresses, wish) for w in self._worlds(begin))

    def _worlds(self, begin: float) -> Iterator[World]:
        """Give how things stood after each change since a time, up to just before this one."""
        at, kept = next((at, w) for at, w in reversed(self._kept) if at == 0 or w[0] < begin)
        world = kept[1].copy()
        is_begun = False
        for earlier in islice(self._changes, at, len(self._changes) - 1):
            if not is_begun and earlier.at >= begin:
                is_begun = True
                yield world
            world.apply(earlier)
            if is_begun:
                yield world
        if not is_begun:
            yield world

    def _find(self, what: str, change: Change, detail: str) -> None:
        self.findings.append(
            Finding(what, change.key, change.revision, detail, tuple(self._story(change)))
        )

    def _story(self, change: Change) -> list[str]:
        """Tell of the service, of whoever is on its addresses, of pools and of kills."""
        addresses = {*self.world.addresses.get(change.key, ())}
        others = {key for ip in addresses for key in self.world.holders.get(ip, ())}
        lines, last = [], dict[str, str]()
        for item in self._changes:
            if item.kind == "service" and item.key not in others | {change.key}:
                continue
            text = _tell(item)
            if last.get(item.key) != text:
                lines.append((item.at, f"{item.at:9.3f} r{item.revision} {item.key}: {text}"))
            last[item.key] = text
        lines += [(at, f"{at:9.3f} {text}") for at, text in self._notes if at <= change.at]
        return [text for _, text in sorted(lines)][-_HISTORY_MAX:]


def _tell(change: Change) -> str:
    if change.object is None:
        return "is gone"
    if change.kind == "pool":
        spec = change.object["spec"]
        flags = {k: v for k, v in spec.items() if k != "addresses"}
        ranges = " ".join(text.partition("-")[0] for text in spec["addresses"])
        return f"blocks {ranges} {flags}"
    wish, addresses = read_wish(change.object), read_addresses(change.object)
    asks = [*map(str, wish.requested), wish.requested_pool, wish.sharing, wish.backend]
    told = [*sorted(wish.ports), *filter(None, asks), *map(str, wish.families), wish.policy]
    kind = "" if wish.is_wanted else "no load balancer "
    return f"has {list(map(str, addresses))}, {kind}asks {told}"


def judge_end(world: World, statuses: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Say what is wrong with a world at rest; `statuses` are those of the pools."""
    said = []
    for key, wish in world.wishes.items():
        held = world.addresses[key]
        if held:
            reason = world.why_not(key, held)
            if reason:
                said.append(f"{key} has {list(map(str, held))} although {reason}")
        elif wish.is_wanted and (could := world.could_have(key)):
            said.append(f"{key} has none although {list(map(str, could))} would do: {wish}")
    for name, pool in world.pools.items():
        status = statuses.get(name, {})
        told = tuple(
            status.get(field, 0)
            for field in ("assignedIPv4", "assignedIPv6", "availableIPv4", "availableIPv6")
        )
        if told != world.counters(pool):
            said.append(f"pool {name} says {told}, statuses say {world.counters(pool)}")
    return said

"""BFDProfiles, and what of them cannot be used with IPv6 (spec: config §8)."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

from mercurylb.api.bfd_profile import BFDProfileSpec
from mercurylb.config.model import BFDProfile
from mercurylb.config.problem import Code, Report
from mercurylb.values.address import IPV6

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mercurylb.api.bfd_profile import BFDProfile as BFDProfileObject
    from mercurylb.config.bgp_advertisement import Advertised
    from mercurylb.config.peer import CompiledPeer
    from mercurylb.config.problem import Problem

ECHO_PROBLEMS_MAX: Final = 1000
"""Pools, advertisements and peers that do not go together are told up to here."""


class _Number(NamedTuple):
    """A number of a profile: how it is called and what it may be."""

    attribute: str
    field: str
    words: str
    low: int
    high: int


_NUMBERS: Final = (
    _Number("detect_multiplier", "detectMultiplier", "detect multiplier", 2, 255),
    _Number("receive_interval", "receiveInterval", "receive interval", 10, 60_000),
    _Number("transmit_interval", "transmitInterval", "transmit interval", 10, 60_000),
    _Number("minimum_ttl", "minimumTtl", "minimum ttl", 1, 254),
    _Number("echo_interval", "echoInterval", "echo interval", 10, 60_000),
)


def compile_bfd_profiles(
    objects: Iterable[BFDProfileObject], *, problems: list[Problem]
) -> dict[str, BFDProfile]:
    """Give the profiles by name."""
    profiles: dict[str, BFDProfile] = {}
    for item in objects:
        name = item.metadata.name
        report = Report(f"BFDProfile {item.metadata.key}", problems)
        if not name:
            report.add("metadata.name", "", "missing bfd profile name", code=Code.NAME_MISSING)
        if name in profiles:
            message = f"found duplicate bfd profile name {name}"
            report.add("metadata.name", name, message, code=Code.NAME_DUPLICATE)
        spec = item.spec or BFDProfileSpec()
        for number in _NUMBERS:
            _check_number(spec, number, report=report)
        profiles[name] = BFDProfile(
            name=name,
            detect_multiplier=spec.detect_multiplier,
            receive_interval_ms=spec.receive_interval,
            transmit_interval_ms=spec.transmit_interval,
            echo_interval_ms=spec.echo_interval,
            minimum_ttl=spec.minimum_ttl,
            has_echo=spec.echo_mode is True,
            is_passive=spec.passive_mode is True,
        )
    return profiles


def _check_number(spec: BFDProfileSpec, number: _Number, *, report: Report) -> None:
    value: int | None = getattr(spec, number.attribute)
    if value is None or number.low <= value <= number.high:
        return
    message = (
        f"invalid {number.words} value: invalid value {value},"
        f" must be in {number.low}-{number.high} range"
    )
    report.add(f"spec.{number.field}", str(value), message, code=Code.VALUE_RANGE)


def check_echo(
    advertised: Sequence[Advertised],
    *,
    peers: Sequence[CompiledPeer],
    profiles: dict[str, BFDProfile],
) -> None:
    """Note each peer with BFD echo that some node would tell of a pool with IPv6 addresses.

    Echo packets are looped back by the peer's forwarding plane, which is defined for single-hop
    IPv4 only here; the family of the peer's own address does not matter.
    """
    echoing = {
        compiled.peer.name: compiled
        for compiled in peers
        if compiled.peer.bfd_profile in profiles and profiles[compiled.peer.bfd_profile].has_echo
    }
    if not echoing:
        return
    for pool, item, peer in islice(_clashes(advertised, echoing), ECHO_PROBLEMS_MAX):
        name = peer.peer.name
        message = (
            f"pool {pool} has bgpadvertisement {item.advertisement.name} which references peer"
            f" {name} which has bfd echo enabled, which is not possible"
        )
        hint = (
            f"pool {pool} has IPv6 addresses: set spec.peers of the advertisement, or turn echoMode"
            f" of BFDProfile {peer.peer.bfd_profile} off"
        )
        peer.report.add(
            "spec.bfdProfile", peer.peer.bfd_profile, message, code=Code.BFD_ECHO_IPV6, hint=hint
        )


def _clashes(
    advertised: Sequence[Advertised], echoing: dict[str, CompiledPeer]
) -> Iterator[tuple[str, Advertised, CompiledPeer]]:
    for item in advertised:
        pools = [pool.pool.name for pool in item.pools if IPV6 in pool.families]
        if not pools:
            continue
        names = sorted(set(item.advertisement.peers) or echoing)
        targets = [echoing[name] for name in names if name in echoing]
        for peer in targets:
            if item.shares_node_with(peer.nodes):
                for pool in pools:
                    yield pool, item, peer

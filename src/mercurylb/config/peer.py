"""BGPPeers: numbers, addresses, timers and passwords of routers to speak to (spec: config §6)."""

from __future__ import annotations

import binascii
from typing import TYPE_CHECKING, Final, NamedTuple

from mercurylb.api.annotation import GTSM_HOPS, TCP_AO
from mercurylb.api.bgp_peer import BGPPeer, BGPPeerSpec
from mercurylb.config.model import Password, Peer
from mercurylb.config.problem import Code, Problem, Report
from mercurylb.config.selection import check_range, compile_selectors
from mercurylb.errors import ParseError
from mercurylb.values.address import Address, parse_address, quoted
from mercurylb.values.duration import SECOND_NS, format_duration, parse_duration

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mercurylb.api.secret import Secret
    from mercurylb.config.scope import NodeIndex

INTERNAL: Final = "internal"
EXTERNAL: Final = "external"

BASIC_AUTH: Final = "kubernetes.io/basic-auth"
PASSWORD_KEY: Final = "password"  # noqa: S105 (the key in a secret)

HOLD_TIME_MAX_NS: Final = (1 << 63) - 1
"""About 292 years."""
HOLD_TIME_MIN_NS: Final = 3 * SECOND_NS
"""RFC 4271 §4.2: zero or at least three seconds."""

GTSM_HOPS_MAX: Final = 254
_ASN: Final = (0, 0xFFFF_FFFF)
_PORT: Final = (0, 0xFFFF)
_PORT_DEFAULT: Final = 179


class CompiledPeer(NamedTuple):
    """A peer and where it comes from; if it has mistakes, what of it could be understood."""

    object: BGPPeer
    spec: BGPPeerSpec
    peer: Peer
    nodes: frozenset[str] | None
    """Names of the known nodes that it is for; None if its selectors cannot be understood."""
    report: Report


class Secrets(NamedTuple):
    """Where passwords are found."""

    by_name: Mapping[str, Secret]
    are_passed: bool
    """Whether somebody else looks into them."""


def compile_peers(
    objects: Iterable[BGPPeer],
    *,
    secrets: Secrets,
    profiles: Iterable[str],
    nodes: NodeIndex,
    problems: list[Problem],
) -> list[CompiledPeer]:
    """Compile peers in the given order."""
    known = frozenset(profiles)
    compiled: list[CompiledPeer] = []
    by_name: dict[str, Peer] = {}
    for item in objects:
        report = Report(f"BGPPeer {item.metadata.key}", problems)
        found = _compile_peer(item, secrets=secrets, nodes=nodes, report=report)
        profile = found.peer.bfd_profile
        if profile and profile not in known:
            report.add(
                "spec.bfdProfile",
                profile,
                f"peer {item.metadata.name} referencing non existing bfd profile {profile}",
                code=Code.BFD_PROFILE_MISSING,
                hint=f"create BFDProfile {profile}, or take it out",
                is_transient=True,
            )
        if by_name.get(item.metadata.name) == found.peer:
            message = f"peer {item.metadata.name} already exists"
            report.add("metadata.name", item.metadata.name, message, code=Code.PEER_DUPLICATE)
        by_name[item.metadata.name] = found.peer
        compiled.append(found)
    return compiled


def _compile_peer(
    item: BGPPeer, *, secrets: Secrets, nodes: NodeIndex, report: Report
) -> CompiledPeer:
    spec = item.spec or BGPPeerSpec()
    _check_numbers(spec, report=report)
    _check_target(spec, report=report)
    hold_time, keepalive_time = _timers(spec, report=report)
    before = len(report.problems)
    selectors = compile_selectors(
        spec.node_selectors,
        field="spec.nodeSelectors",
        wrong=f"failed to convert peer {item.metadata.name} node selector",
        report=report,
    )
    is_understood = before == len(report.problems)
    peer = Peer(
        name=item.metadata.name,
        my_asn=spec.my_asn,
        peer_asn=spec.peer_asn,
        dynamic_asn=spec.dynamic_asn,
        local_asn=spec.local_asn or 0,
        address=_address(
            spec.peer_address, "spec.peerAddress", "invalid BGPPeer address", report=report
        ),
        interface=spec.interface,
        source_address=_address(
            spec.source_address, "spec.sourceAddress", "invalid source IP", report=report
        ),
        port=_PORT_DEFAULT if spec.peer_port is None else spec.peer_port,
        hold_time_ns=hold_time,
        keepalive_time_ns=keepalive_time,
        connect_time_ns=_duration(spec.connect_time, "spec.connectTime", report=report),
        router_id=_address(spec.router_id, "spec.routerID", "invalid router ID", report=report),
        node_selectors=selectors,
        password=_password(item, spec, secrets=secrets, report=report),
        password_secret=spec.password_secret.name if spec.password_secret else "",
        password_secret_namespace=spec.password_secret.namespace if spec.password_secret else "",
        bfd_profile=spec.bfd_profile,
        enable_graceful_restart=spec.enable_graceful_restart is True,
        ebgp_multi_hop=spec.ebgp_multi_hop is True,
        vrf=spec.vrf,
        disable_mp=spec.disable_mp,
        dual_stack_address_family=spec.dual_stack_address_family,
        gtsm_hops=_gtsm_hops(item, report=report),
        has_tcp_ao=_has_tcp_ao(item, report=report),
    )
    chosen = nodes.matching(selectors) if spec.node_selectors else nodes.all
    return CompiledPeer(item, spec, peer, chosen if is_understood else None, report)


def _check_numbers(spec: BGPPeerSpec, *, report: Report) -> None:
    code = Code.PEER_ASN
    if spec.my_asn == 0:
        report.add("spec.myASN", "0", "missing local ASN", code=code, hint="set spec.myASN")
    if spec.peer_asn == 0 and not spec.dynamic_asn:
        message, hint = "missing peer ASN and dynamicASN", "set one of the two"
        report.add("spec.peerASN", "0", message, code=code, hint=hint)
    if spec.peer_asn != 0 and spec.dynamic_asn:
        message, hint = "both peer ASN and dynamicASN specified", "set one of the two"
        report.add("spec.dynamicASN", spec.dynamic_asn, message, code=code, hint=hint)
    if spec.dynamic_asn not in ("", INTERNAL, EXTERNAL):
        message, hint = f"invalid dynamicASN {spec.dynamic_asn}", "write internal or external"
        report.add("spec.dynamicASN", spec.dynamic_asn, message, code=code, hint=hint)
    if spec.my_asn and spec.peer_asn == spec.my_asn and spec.ebgp_multi_hop:
        message = "invalid ebgp-multihop parameter set for an ibgp peer"
        hint = "both ASNs are the same; take ebgpMultiHop out"
        report.add("spec.ebgpMultiHop", "true", message, code=Code.PEER_MULTI_HOP, hint=hint)
    check_range(spec.my_asn, _ASN, field="spec.myASN", report=report)
    check_range(spec.peer_asn, _ASN, field="spec.peerASN", report=report)
    check_range(spec.local_asn, _ASN, field="spec.localASN", report=report)
    check_range(spec.peer_port, _PORT, field="spec.peerPort", report=report)


def _check_target(spec: BGPPeerSpec, *, report: Report) -> None:
    if not spec.peer_address and not spec.interface:
        message, hint = "peer has no Address or Interface specified", "set one of the two"
        report.add("spec.peerAddress", "", message, code=Code.PEER_ADDRESS, hint=hint)
    if spec.peer_address and spec.interface:
        message, hint = "peer has both Address and Interface specified", "set one of the two"
        report.add("spec.interface", spec.interface, message, code=Code.PEER_ADDRESS, hint=hint)


def _address(text: str, field: str, wrong: str, *, report: Report) -> Address | None:
    if not text:
        return None
    try:
        return parse_address(text)
    except ParseError:
        hint = "write a plain IPv4 or IPv6 address, without prefix length, zone or port"
        report.add(field, text, f"{wrong} {quoted(text)}", code=Code.PEER_ADDRESS, hint=hint)
        return None


def _duration(text: str | None, field: str, *, report: Report) -> int | None:
    if text is None:
        return None
    try:
        return parse_duration(text)
    except ParseError as error:
        message, hint = f"invalid BGPPeer timers: {error}", "write for example 90s or 1m30s"
        report.add(field, text, message, code=Code.PEER_TIMERS, hint=hint)
        return None


def _timers(spec: BGPPeerSpec, *, report: Report) -> tuple[int | None, int | None]:
    """Give hold and keepalive time; where one is given the other is derived from it."""
    hold = _duration(spec.hold_time, "spec.holdTime", report=report)
    keepalive = _duration(spec.keepalive_time, "spec.keepaliveTime", report=report)
    if (hold is None) != (spec.hold_time is None):
        return None, None
    if (keepalive is None) != (spec.keepalive_time is None):
        return None, None
    if hold is None and keepalive is None:
        return None, None
    if hold is None:
        hold = (keepalive or 0) * 3
    elif keepalive is None:
        keepalive = hold // 3 if hold >= 0 else -(-hold // 3)
    keepalive = keepalive or 0
    is_written = spec.hold_time is not None
    field = "spec.holdTime" if is_written else "spec.keepaliveTime"
    if not -SECOND_NS < hold < SECOND_NS and hold < HOLD_TIME_MIN_NS:
        shown = format_duration(hold)
        message = f"invalid BGPPeer timers: invalid hold time {quoted(shown)}: must be 0 or >=3s"
        hint = "" if is_written else "the hold time is three times the keepalive time"
        report.add(field, shown, message, code=Code.PEER_TIMERS, hint=hint)
    elif keepalive > hold or hold > HOLD_TIME_MAX_NS:
        message = (
            f"invalid BGPPeer timers: invalid keepaliveTime {quoted(format_duration(keepalive))},"
            f" must be lower than holdTime {quoted(format_duration(hold))}"
        )
        value = spec.keepalive_time or format_duration(keepalive)
        report.add("spec.keepaliveTime", value, message, code=Code.PEER_TIMERS)
    return hold, keepalive


def _gtsm_hops(item: BGPPeer, *, report: Report) -> int:
    text = (item.metadata.annotations or {}).get(GTSM_HOPS)
    if text is None:
        return 0
    if text.isascii() and text.isdecimal() and len(text) <= 3 and 1 <= int(text) <= GTSM_HOPS_MAX:  # noqa: PLR2004 (digits)
        return int(text)
    message = f"{GTSM_HOPS} must be a number of hops from 1 to {GTSM_HOPS_MAX}"
    report.add(f"metadata.annotations[{GTSM_HOPS}]", text, message, code=Code.VALUE_RANGE)
    return 0


def _has_tcp_ao(item: BGPPeer, *, report: Report) -> bool:
    text = (item.metadata.annotations or {}).get(TCP_AO)
    if text not in (None, "true", "false"):
        message = f"{TCP_AO} must be true or false"
        report.add(f"metadata.annotations[{TCP_AO}]", text, message, code=Code.VALUE_RANGE)
    if text != "true":
        return False
    spec = item.spec or BGPPeerSpec()
    if not spec.password and not (spec.password_secret and spec.password_secret.name):
        message = f"{TCP_AO} needs a password, which is its key"
        hint = "set spec.passwordSecret"
        field = f"metadata.annotations[{TCP_AO}]"
        report.add(field, text, message, code=Code.PEER_PASSWORD, hint=hint)
    return True


def _password(
    item: BGPPeer, spec: BGPPeerSpec, *, secrets: Secrets, report: Report
) -> Password | None:
    """Give the password; no problem repeats any of it."""
    name = spec.password_secret.name if spec.password_secret else ""
    where = f"{quoted(item.metadata.namespace)}/{quoted(item.metadata.name)}"
    if spec.password and name:
        message = f"can not have both password and secret ref set in peer config {where}"
        hint = "take spec.password out"
        report.add("spec.passwordSecret.name", name, message, code=Code.PEER_PASSWORD, hint=hint)
    if spec.password:
        return Password(spec.password.encode(errors="surrogatepass"))
    if not name or secrets.are_passed:
        return None
    secret = secrets.by_name.get(name)
    if secret is None:
        report.add(
            "spec.passwordSecret.name",
            name,
            f"secret ref not found for peer config {where}",
            code=Code.SECRET_MISSING,
            hint=f"create a secret {name} of type {BASIC_AUTH} beside the peer",
            is_transient=True,
        )
        return None
    return _password_in(secret, report=report)


def _password_in(secret: Secret, *, report: Report) -> Password | None:
    field, name = "spec.passwordSecret.name", secret.metadata.name
    where = f"{quoted(secret.metadata.namespace)}/{quoted(name)}"
    if secret.type != BASIC_AUTH:
        message = f"secret type mismatch on {where}, type {quoted(BASIC_AUTH)} is expected"
        report.add(field, name, message, code=Code.SECRET_TYPE, hint=f"its type is {secret.type}")
        return None
    data = secret.data or {}
    if PASSWORD_KEY not in data:
        message = f"password not specified in the secret {where}"
        report.add(field, name, message, code=Code.SECRET_PASSWORD, hint="add the key password")
        return None
    try:
        return Password(binascii.a2b_base64((data[PASSWORD_KEY] or "").encode(), strict_mode=True))
    except (binascii.Error, ValueError):
        message = f"password in the secret {where} is not base64"
        report.add(field, name, message, code=Code.SECRET_PASSWORD)
        return None

"""BGP sessions and routes in words and tables."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Final

from mercurylb.cli.wire_text import span_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mercurylb.bfd.report import BfdDetail, BfdReport
    from mercurylb.bgp.report import MessageCounts, SessionReport
    from mercurylb.plan.desk import PeersAnswer, RoutesAnswer, SessionAnswer

Line = tuple[str, str]
"""The colour of what it says, and the text."""

ESTABLISHED: Final = "Established"
_NONE: Final = "-"
_HEAD: Final = ("PEER", "ADDRESS", "AS", "STATE", "SINCE", "BFD", "PREFIXES", "LAST ERROR")
_WIDE_HEAD: Final = (
    *_HEAD[:-1],
    "LOCAL",
    "ROUTER ID",
    "HOLD",
    "FAMILIES",
    "FLAPS",
    "VRF",
    _HEAD[-1],
)
_LABEL_SIZE: Final = 11
_AGE_SIZE: Final = 8


def peers_to_lines(answer: PeersAnswer, *, is_wide: bool = False) -> Iterator[Line]:
    """Give a table of all sessions."""
    if not answer.sessions:
        yield "", f"Node {answer.node} has no BGP peers."
        return
    head = _WIDE_HEAD if is_wide else _HEAD
    rows = [_wide_row(each) if is_wide else _row(each) for each in answer.sessions]
    kinds = [_kind(each) for each in answer.sessions]
    yield from zip(("", *kinds), _aligned([head, *rows]), strict=True)


def _row(session: SessionReport) -> tuple[str, ...]:
    return (
        session.name,
        session.peer,
        str(session.peer_asn or _NONE),
        session.state,
        span_of(session.since_s),
        session.bfd or _NONE,
        _prefixes(session),
        session.last_error or _NONE,
    )


def _wide_row(session: SessionReport) -> tuple[str, ...]:
    usual = _row(session)
    return (
        *usual[:-1],
        session.local_address or _NONE,
        session.peer_router_id or _NONE,
        f"{session.hold_time_s} s" if session.state == ESTABLISHED else _NONE,
        "+".join(session.families) or _NONE,
        str(session.flap_count),
        session.vrf or _NONE,
        usual[-1],
    )


def _prefixes(session: SessionReport) -> str:
    pending = f" (+{session.prefixes_pending} pending)" if session.prefixes_pending else ""
    return f"{session.prefixes_sent}{pending}"


def _kind(session: SessionReport) -> str:
    if session.state != ESTABLISHED:
        return "error"
    return "good" if session.bfd in ("", "Up") else "warning"


def routes_to_lines(session: SessionReport, pages: Iterable[RoutesAnswer]) -> Iterator[Line]:
    """Give what a peer has, route by route."""
    state = "" if session.state == ESTABLISHED else f", {session.state}"
    sent = _counted(session.prefixes_sent, "route")
    pending = f", {session.prefixes_pending} to be sent or withdrawn"
    more = pending if session.prefixes_pending else ""
    yield _kind(session), f"{session.name} ({session.peer}{state}): {sent}{more}"
    for page in pages:
        size = max((len(prefix) for prefix, _ in page.routes), default=0)
        for prefix, attributes in page.routes:
            yield "", f"  {prefix:{size}}  {attributes}"


def session_to_lines(answer: SessionAnswer) -> Iterator[Line]:
    """Give everything of a session, what matters first."""
    session = answer.session
    since = f"{session.state} for {span_of(session.since_s)}"
    if session.state == ESTABLISHED:
        yield (
            _kind(session),
            f"Session: {session.name} is {since}, with {_prefixes(session)} prefixes.",
        )
    else:
        why = f": {session.last_error}" if session.last_error else ""
        yield "error", f"Session: {session.name} is {since}{why}."
    yield "", ""
    for label, text in itertools.chain(_ends(answer), _terms(session), _traffic(session)):
        yield from _labelled(label, text)
    if answer.bfd is not None:
        yield from _bfd(answer.bfd, answer.bfd_detail)
    yield from _story("Story", answer.story)
    yield from _story("BFD story", answer.bfd_story)


def _ends(answer: SessionAnswer) -> Iterator[tuple[str, str]]:
    session = answer.session
    there = [f"AS {session.peer_asn}" if session.peer_asn else "AS not known yet"]
    if session.peer_router_id:
        there.append(f"router id {session.peer_router_id}")
    address = f", at {session.remote_address}" if session.remote_address else ""
    yield "Peer", f"{session.peer}{address}, {', '.join(there)}"
    here = [answer.node, session.local_address, f"AS {session.asn}"]
    if session.router_id:
        here.append(f"router id {session.router_id}")
    if session.vrf:
        here.append(f"VRF {session.vrf}")
    yield "Here", ", ".join(each for each in here if each)


def _terms(session: SessionReport) -> Iterator[tuple[str, str]]:
    if session.state == ESTABLISHED:
        hold = f"hold {session.hold_time_s} s, keepalive {session.keepalive_time_s:g} s"
        yield "Timers", hold if session.hold_time_s else "none: the hold time is 0"
        yield "Families", ", ".join(session.families) or "none in common"
    elif session.next_attempt_s is not None:
        yield "Next", f"attempt in {session.next_attempt_s:.1f} s"
    for label, names in (
        ("Both have", session.capabilities),
        ("We offer", session.capabilities_offered),
        ("Peer has", session.capabilities_received),
    ):
        if names:
            yield label, ", ".join(names)


def _traffic(session: SessionReport) -> Iterator[tuple[str, str]]:
    yield "Prefixes", f"{session.prefixes_sent} sent, {session.prefixes_pending} pending"
    yield "Messages", _messages(session.counts)
    yield "Flaps", str(session.flap_count)
    yield "Last error", session.last_error or "none"


def _messages(counts: MessageCounts) -> str:
    pairs = (
        ("OPEN", counts.opens_sent, counts.opens_received),
        ("UPDATE", counts.updates_sent, counts.updates_received),
        ("KEEPALIVE", counts.keepalives_sent, counts.keepalives_received),
        ("NOTIFICATION", counts.notifications_sent, counts.notifications_received),
        ("ROUTE-REFRESH", counts.refreshes_sent, counts.refreshes_received),
    )
    said = ", ".join(f"{name} {sent}/{received}" for name, sent, received in pairs)
    return f"{said} (sent/received)"


def _bfd(report: BfdReport, detail: BfdDetail | None) -> Iterator[Line]:
    kind = "" if report.state == "Up" else "warning"
    path = "several hops" if report.is_multi_hop else "one hop"
    where = f" on {report.interface}" if report.interface else ""
    why = f" ({report.diagnostic})" if report.diagnostic and report.state != "Up" else ""
    since = f"{report.state} for {span_of(report.since_s)}{why}, over {path}{where}"
    yield from _labelled("BFD", since, kind)
    silence = f", silence borne for {report.detection_time_ms:g} ms"
    known = silence if report.detection_time_ms else ""
    yield from _labelled("", f"a packet every {report.transmit_interval_ms:g} ms{known}")
    counts = (
        f"{report.packets_sent} packets sent, {report.packets_received} received,"
        f" {report.dropped_count} dropped; ups {report.up_count}, downs {report.down_count}"
    )
    yield from _labelled("", counts)
    if report.diagnostic and report.state == "Up":
        yield from _labelled("", f"was down last by: {report.diagnostic}")
    if detail is not None:
        yield from _bfd_detail(report, detail)


def _bfd_detail(report: BfdReport, detail: BfdDetail) -> Iterator[Line]:
    ours = f"discriminator {detail.discriminator}"
    yield from _labelled("", ours + (", passive" if detail.is_passive else ""))
    if detail.remote_discriminator:
        wishes = (
            f"peer: {detail.remote_state}, discriminator {detail.remote_discriminator}, sends every"
            f" {detail.remote_transmit_interval_ms:g} ms x {detail.remote_multiplier},"
            f" receives every {detail.remote_receive_interval_ms:g} ms"
        )
        yield from _labelled("", wishes)
    if report.remote_diagnostic:
        yield from _labelled("", f"peer says: {report.remote_diagnostic}")
    if detail.authentication:
        yield from _labelled("", f"authenticated by {detail.authentication}")
    if detail.silent_s is not None and report.state != "Up":
        yield from _labelled("", f"heard last {span_of(detail.silent_s)} ago")
    if detail.dropped:
        reasons = ", ".join(f"{reason} {count}" for reason, count in detail.dropped.items())
        yield from _labelled("", f"dropped for: {reasons}", "warning")
    if detail.send_error:
        yield from _labelled("", f"cannot send: {detail.send_error}", "warning")


def _story(label: str, entries: Sequence[tuple[float, str]]) -> Iterator[Line]:
    for number, (age_s, what) in enumerate(entries):
        age = f"{_age(age_s)} ago"
        yield from _labelled("" if number else label, f"{age:>{_AGE_SIZE + 4}}  {what}")


def _age(seconds: float) -> str:
    return f"{max(0.0, seconds):.1f} s" if seconds < 10 else span_of(seconds)  # noqa: PLR2004


def _labelled(label: str, text: str, kind: str = "") -> Iterator[Line]:
    yield kind, f"{label:{_LABEL_SIZE}}{text}"


def _counted(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    sizes = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(size) for cell, size in zip(row, sizes, strict=True)).rstrip()
        for row in rows
    ]

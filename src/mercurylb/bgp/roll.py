"""How a peer is told of in a report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mercurylb.bgp.report import MessageCounts, SessionReport

if TYPE_CHECKING:
    from mercurylb.bgp.book import RouteBook
    from mercurylb.bgp.peer import Peer
    from mercurylb.bgp.session import Session


def report(peer: Peer, book: RouteBook, now: float) -> SessionReport:
    """Tell of one peer; what BFD says of it is added by who knows."""
    settings = peer.settings
    session = peer.foremost
    agreement = session.agreement if session else None
    theirs = session.theirs if session else None
    established = peer.established
    agreed = established.agreement if established else None
    return SessionReport(
        name=settings.name,
        peer=settings.label,
        state=peer.state,
        since_s=max(0.0, now - peer.since),
        vrf=settings.vrf,
        asn=settings.asn,
        peer_asn=theirs.asn if theirs else settings.peer_asn,
        local_address=session.ends.local if session else settings.source_address,
        remote_address=session.ends.remote if session else peer.dialler.address,
        router_id=session.ours.router_id if session else settings.router_id,
        peer_router_id=theirs.router_id if theirs else "",
        hold_time_s=agreement.hold_time_s if agreement else 0,
        keepalive_time_s=agreement.keepalive_time_s if agreement else 0.0,
        families=tuple(family.label for family in agreed.families) if agreed else (),
        capabilities=agreed.capabilities if agreed else (),
        capabilities_offered=session.ours.capabilities.names() if session else (),
        capabilities_received=theirs.capabilities.names() if theirs else (),
        prefixes_sent=established.rib.sent_count if established and established.rib else 0,
        prefixes_pending=_pending_count(settings.name, established, book),
        last_error=peer.blame.words,
        flap_count=peer.flap_count,
        next_attempt_s=None
        if not peer.dialler.is_waiting
        else max(0.0, peer.dialler.retry_at - now),
        counts=MessageCounts(**peer.desk.counts),
    )


def _pending_count(name: str, established: Session | None, book: RouteBook) -> int:
    """Without a session everything is still to be sent."""
    if established is not None and established.rib is not None:
        return established.rib.pending_count
    return sum(map(len, book.wanted(name, is_internal=False).parts.values()))

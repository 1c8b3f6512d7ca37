"""What an operator who asks the announcer is told (`plan/desk.py` has the words; pure)."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from mercurylb.plan.desk import (
    ROUTES_MAX,
    AskPeers,
    AskRoutes,
    AskSession,
    DeskError,
    PeersAnswer,
    Question,
    RoutesAnswer,
    SessionAnswer,
)

if TYPE_CHECKING:
    from mercurylb.announcer.routing import RoutingCore
    from mercurylb.bgp.report import SessionReport


def answer(
    core: RoutingCore, question: Question, now: float
) -> PeersAnswer | SessionAnswer | RoutesAnswer | DeskError:
    """Answer a question about the sessions of a node."""
    sessions = core.sessions(now)
    if isinstance(question, AskPeers):
        return PeersAnswer(core.node, sessions, core.bfd_reports(now))
    session = next((one for one in sessions if one.name == question.peer), None)
    if session is None:
        known = tuple(one.name for one in sessions)
        return DeskError(f"there is no peer {question.peer} on {core.node}", known)
    if isinstance(question, AskRoutes):
        return _routes(core, question, session)
    return _session(core, question, session, now)


def _session(
    core: RoutingCore, question: AskSession, session: SessionReport, now: float
) -> SessionAnswer:
    key = core.watch_of(question.peer)
    story = tuple((now - at, words) for at, words in core.speaker.story(question.peer))
    if key is None:
        return SessionAnswer(core.node, session, None, story)
    return SessionAnswer(
        core.node,
        session,
        core.bfd.report(key, now),
        story,
        core.bfd.detail(key, now),
        tuple((now - at, words) for at, words in core.bfd.story(key)),
    )


def _routes(core: RoutingCore, question: AskRoutes, session: SessionReport) -> RoutesAnswer:
    start = max(0, question.offset)
    limit = max(0, min(question.limit, ROUTES_MAX))
    routes = tuple(itertools.islice(core.speaker.sent(question.peer, start), limit))
    return RoutesAnswer(core.node, question.peer, session.prefixes_sent, start, routes)

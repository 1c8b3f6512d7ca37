"""Sessions as FRR backends are given them: a peer, what it is told, and by which names it goes.

A session's key tells it from the others of a node. Sessions with the same neighbour (they differ in
their source address) become one neighbour of FRR: the one first by key gives the parameters, the
advertisements of all are united.

What ends up in a line of frr.conf is checked here, so that no field can begin a line of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from mercurylb.config.community import Community
from mercurylb.config.model import BFDProfile, Peer
from mercurylb.errors import ConfigError, Problem
from mercurylb.values.address import IPV4, IPV6, Family, quoted
from mercurylb.values.duration import SECOND_NS

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMUNITIES_MAX: Final = 63
"""Of one advertisement, as in MetalLB 0.16."""
NONE: Final = "<nil>"
"""Stands in a key for an address that is not given."""
PASSWORD_OCTETS_MAX: Final = 80
"""The kernel's limit for TCP MD5, which FRR checks."""
_NO_WORD: Final = "FRR can only be told a single word of printable characters"
_UNREADABLE: Final = "\N{REPLACEMENT CHARACTER}"
"""Stands for octets that are not UTF-8."""
FAMILIES: Final[tuple[Family, ...]] = (IPV4, IPV6)


class Advertisement(msgspec.Struct, frozen=True):
    """One prefix and what is said of it; a session may have several of the same prefix."""

    prefix: str
    """Canonical text with length."""
    local_pref: int = 0
    """0 means that none is set."""
    as_path_prepend: int = 0
    communities: tuple[Community, ...] = ()

    @property
    def family(self) -> Family:
        """Give the family of the prefix."""
        return IPV6 if ":" in self.prefix else IPV4


class Session(msgspec.Struct, frozen=True):
    """A peer and everything it is to be told."""

    peer: Peer
    advertisements: tuple[Advertisement, ...] = ()


class Intent(msgspec.Struct, frozen=True):
    """Everything an FRR backend is to bring about on a node."""

    sessions: tuple[Session, ...] = ()
    profiles: tuple[BFDProfile, ...] = ()
    extras: str = ""
    """Text for frr.conf, as it is."""


def asn_of(peer: Peer) -> str:
    """Give what `remote-as` is set to: a number, `internal` or `external`."""
    return peer.dynamic_asn or str(peer.peer_asn)


def target_of(peer: Peer) -> str:
    """Give the address, or the interface of an unnumbered peer."""
    return peer.interface or str(peer.address)


def neighbor_id(peer: Peer) -> str:
    """Give what all names of prefix lists and route maps of a neighbour begin with."""
    target = target_of(peer)
    return f"{target}-{peer.vrf}" if peer.vrf else target


def session_key(peer: Peer) -> str:
    """Give what tells a session from the others of its node."""
    source = str(peer.source_address) if peer.source_address else NONE
    key = f"{asn_of(peer)}@{target_of(peer)}-{peer.my_asn}@{source}"
    return f"{key}/{peer.vrf}" if peer.vrf else key


def router_key(peer: Peer) -> str:
    """Give what tells the BGP instance of a peer from the others of its node."""
    router_id = str(peer.router_id) if peer.router_id else NONE
    return f"{peer.my_asn}@{router_id}@{peer.vrf}"


def neighbor_key(peer: Peer) -> str:
    """Give what tells a neighbour from the others of its BGP instance."""
    return f"{asn_of(peer)}@{target_of(peer)}@{peer.vrf}"


def families_of(peer: Peer) -> tuple[Family, ...]:
    """Give the families that are exchanged with a peer; `disableMP` has no say in it."""
    if peer.interface or peer.dual_stack_address_family or peer.address is None:
        return FAMILIES
    return (peer.address.family,)


def accepted(session: Session) -> tuple[Advertisement, ...]:
    """Give the advertisements of a session that its neighbour has the family for."""
    families = families_of(session.peer)
    return tuple(item for item in session.advertisements if item.family in families)


def seconds(nanoseconds: int) -> int:
    """Give whole seconds, cut off."""
    return nanoseconds // SECOND_NS


def password_text(peer: Peer) -> str:
    """Give the password, without the line end that secrets made of files often have."""
    if peer.password is None:
        return ""
    return peer.password.secret.decode(errors="replace").rstrip("\r\n")


def check(intent: Intent) -> None:
    """Raise ConfigError for everything that FRR cannot be told."""
    problems = sound(intent)[1]
    if problems:
        raise ConfigError(problems)


def sound(intent: Intent) -> tuple[Intent, tuple[Problem, ...]]:
    """Give what of an intent FRR can be told, and why not the rest.

    One line that FRR does not understand makes it refuse all of them, so a peer with such a field
    is left out, and an advertisement with too many communities as well.
    """
    problems: list[Problem] = []
    sessions = []
    for session in intent.sessions:
        found = list(_peer_problems(session.peer))
        problems += found
        if not found:
            problems += _advertisement_problems(session)
            sessions.append(_with_bounded_communities(session))
    return msgspec.structs.replace(intent, sessions=tuple(sessions)), tuple(problems)


def _peer_problems(peer: Peer) -> Iterator[Problem]:
    subject = f"BGPPeer {peer.name}"
    words = (
        ("spec.vrf", peer.vrf),
        ("spec.interface", peer.interface),
        ("spec.bfdProfile", peer.bfd_profile),
    )
    for field, word in words:
        if not _is_word(word):
            yield Problem(subject, field, word, f"{quoted(word)}: {_NO_WORD}")
    secret = password_text(peer)
    if not _is_word(secret) or _UNREADABLE in secret:
        yield Problem(subject, "spec.password", "", f"the password: {_NO_WORD}")
    if len(secret.encode()) > PASSWORD_OCTETS_MAX:
        message = f"the password is longer than {PASSWORD_OCTETS_MAX} octets"
        yield Problem(subject, "spec.password", "", message)


def _is_word(text: str) -> bool:
    return text.isprintable() and " " not in text


def _advertisement_problems(session: Session) -> Iterator[Problem]:
    for item in session.advertisements:
        count = len(item.communities)
        if count > COMMUNITIES_MAX:
            message = f"max supported communities is {COMMUNITIES_MAX}, got {count}"
            yield Problem(f"BGPPeer {session.peer.name}", "", item.prefix, message, item.prefix)


def _with_bounded_communities(session: Session) -> Session:
    kept = tuple(
        item for item in session.advertisements if len(item.communities) <= COMMUNITIES_MAX
    )
    return session if kept == session.advertisements else Session(session.peer, kept)

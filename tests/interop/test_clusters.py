"""Clusters of our machine and the original library: everybody agrees, whatever happens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from mercurylb.membership.swim.message import Dead, IndirectPing, State, Suspect
from tests.interop.cluster import Cluster, cluster, forge, until
from tests.interop.members import GoMember, PythonMember, Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

SETTINGS = {
    "clear": Settings(secret=b"", is_compressed=False),
    "compressed": Settings(secret=b""),
    "sealed": Settings(is_compressed=False),
    "sealed compressed": Settings(),
    "labelled": Settings(label="blue"),
    "labelled clear": Settings(secret=b"", label="blue"),
}
ALL_SETTINGS = pytest.mark.parametrize("wire", SETTINGS.values(), ids=SETTINGS, indirect=True)


@pytest.fixture
def settings() -> Settings:
    """Encrypt and compress, as MetalLB does, unless a test says otherwise."""
    return Settings()


@pytest.fixture
async def wire(
    request: pytest.FixtureRequest, tmp_path: Path, inside: str
) -> AsyncIterator[Cluster]:
    """Give a cluster without members, under the settings of the test."""
    settings = getattr(request, "param", Settings())
    async with cluster(tmp_path / "go.log", inside, settings) as made:
        yield made


async def mixed(wire: Cluster, python_count: int, go_count: int) -> list[PythonMember | GoMember]:
    """Start members of both kinds, join all to the first, and wait until all agree."""
    made: list[PythonMember | GoMember] = []
    for number in range(max(python_count, go_count)):
        if number < python_count:
            made.append(await wire.python())
        if number < go_count:
            made.append(await wire.go())
    for member in made[1:]:
        await member.join(made[0])
    await wire.agree()
    return made


@pytest.mark.rule("membership-2.ports", "membership-8.join", "membership-8.idempotent")
@ALL_SETTINGS
@pytest.mark.parametrize("joins", ["python", "go"])
async def test_two_find_each_other_from_either_side(wire: Cluster, joins: str) -> None:
    """Whatever the settings, and whoever asks."""
    ours, theirs = await wire.python(), await wire.go()
    if joins == "python":
        await ours.join(theirs)
    else:
        await theirs.join(ours)
    await wire.agree()
    assert (await theirs.seen())[ours.name].address == ours.address


@pytest.mark.parametrize(("python_count", "go_count"), [(1, 2), (3, 1), (4, 4)])
async def test_mixed_clusters_agree(wire: Cluster, python_count: int, go_count: int) -> None:
    """All see all, and elect the same owners."""
    await mixed(wire, python_count, go_count)


@pytest.mark.rule("membership-7.limit", "membership-10.vsn")
async def test_twenty_agree(wire: Cluster) -> None:
    """Ten of each, joined in a chain so that gossip has to do the rest."""
    process = await wire.process()
    chain: list[PythonMember | GoMember] = []
    for _ in range(10):
        chain += [await wire.python(), await wire.go(process=process)]
    for member, before in zip(chain[1:], chain, strict=False):
        await member.join(before)
    await wire.agree()


@pytest.mark.rule("membership-3.7.undecryptable", "membership-3.8.none")
@pytest.mark.parametrize(
    "stranger",
    [
        Settings(label="blue"),
        Settings(secret=b"another"),
        Settings(secret=b""),
        Settings(secret=b"", label="blue"),
    ],
    ids=["label", "key", "no key", "label and no key"],
)
async def test_strangers_do_not_get_in(wire: Cluster, stranger: Settings) -> None:
    """Another label, another key, no key: neither side takes the other for a member."""
    ours, known = await mixed(wire, 1, 1)
    other = await wire.go("stranger", settings=stranger)
    wire.forget(other)
    await other.join(ours)
    await ours.join(other)
    late = await wire.python("late")
    await late.join(known)
    await wire.agree()
    assert set(await other.seen()) == {"stranger"}


@pytest.mark.parametrize("kind", [PythonMember, GoMember])
async def test_who_is_killed_is_found_dead(wire: Cluster, kind: type) -> None:
    """By everybody else, of either kind."""
    members = await mixed(wire, 3, 2)
    victim = next(member for member in members if isinstance(member, kind))
    await wire.kill(victim)
    await wire.agree()
    for member in wire.members.values():
        if isinstance(member, PythonMember):
            assert [(down.node, down.is_leave) for down in member.downs] == [(victim.name, False)]


@pytest.mark.rule("membership-6.leave")
@pytest.mark.parametrize("kind", [PythonMember, GoMember])
async def test_who_leaves_is_gone_and_not_dead(wire: Cluster, kind: type) -> None:
    """A planned stop is told as such."""
    members = await mixed(wire, 2, 2)
    leaver = next(member for member in members if isinstance(member, kind))
    await wire.leave(leaver)
    await wire.agree()
    for member in wire.members.values():
        if isinstance(member, PythonMember):
            assert [(down.node, down.is_leave) for down in member.downs] == [(leaver.name, True)]


@pytest.mark.rule("membership-6.refute", "membership-10.refute")
@pytest.mark.parametrize("accusation", [Suspect, Dead])
@pytest.mark.parametrize("kind", [PythonMember, GoMember])
async def test_a_false_accusation_is_refuted(
    wire: Cluster, kind: type, accusation: type[Suspect | Dead]
) -> None:
    """Who is said to be dead and is not says so, with a higher incarnation."""
    members = await mixed(wire, 2, 2)
    accused = next(member for member in members if isinstance(member, kind))
    judges = [member for member in members if isinstance(member, PythonMember)]
    said = accusation(40, accused.name, "nobody")
    for member in members:
        await forge(wire.settings, member, said)
    for judge in judges:
        await until(
            lambda judge=judge: judge.swim.members()[accused.name].incarnation > 40  # type: ignore[misc]
        )
    await wire.agree()


async def test_both_sides_of_a_cut_agree_and_find_each_other_again(wire: Cluster) -> None:
    """Two and two: each side elects among itself; healed, one round of joins makes them one."""
    a, b, c, d = await mixed(wire, 2, 2)
    wire.cut([a, b], [c, d])
    await wire.agree([a, b])
    await wire.agree([c, d])
    wire.heal()
    await a.join(c)
    await wire.agree()


@pytest.mark.rule("membership-7.dead")
async def test_a_short_cut_heals_without_a_join(wire: Cluster) -> None:
    """The dead are gossiped to for a while, and refute."""
    a, b, c, d = await mixed(wire, 2, 2)
    wire.cut([a], [b, c, d])
    await wire.agree([b, c, d])
    wire.heal()
    await wire.agree()


@pytest.mark.rule("membership-6.initial")
@pytest.mark.parametrize("kind", [PythonMember, GoMember])
async def test_who_comes_back_with_a_lower_incarnation_is_taken_in(
    wire: Cluster, kind: type
) -> None:
    """It hears of its former self, and goes beyond it."""
    members = await mixed(wire, 2, 2)
    gone = next(member for member in members if isinstance(member, kind))
    await forge(wire.settings, gone, Suspect(7, gone.name, "nobody"))
    judge = next(m for m in members if isinstance(m, PythonMember) and m is not gone)
    await until(lambda: judge.swim.members()[gone.name].incarnation == 8)
    await wire.kill(gone)
    start = wire.python if kind is PythonMember else wire.go
    back = await start(gone.name, gone.address)
    await back.join(judge)
    await until(lambda: judge.swim.members()[gone.name].incarnation > 8)
    await wire.agree()


@pytest.mark.rule("membership-6.alive.3.left")
@pytest.mark.parametrize("kind", [PythonMember, GoMember])
async def test_who_left_may_come_back_at_another_address(wire: Cluster, kind: type) -> None:
    """A name that has left is free."""
    members = await mixed(wire, 2, 2)
    gone = next(member for member in members if isinstance(member, kind))
    stays = next(member for member in members if member is not gone)
    await wire.leave(gone)
    await wire.agree()
    start = wire.python if kind is PythonMember else wire.go
    back = await start(gone.name, "127.0.3.1")
    await back.join(stays)
    await wire.agree()
    for member in wire.members.values():
        assert (await member.seen())[back.name].address == "127.0.3.1"


@pytest.mark.rule("membership-5.indirect", "membership-5.relay")
@pytest.mark.parametrize(("python_count", "go_count"), [(2, 1), (1, 2)], ids=["ours", "theirs"])
async def test_a_third_member_vouches_where_the_direct_way_is_cut(
    wire: Cluster, python_count: int, go_count: int
) -> None:
    """Indirect probes go through members of either kind, and neither end is found dead."""
    ours, theirs, third = await mixed(wire, python_count, go_count)
    assert isinstance(ours, PythonMember)
    assert isinstance(theirs, GoMember)
    wire.cut([ours], [theirs])
    before = ours.sent.count(IndirectPing)
    await until(lambda: ours.sent.count(IndirectPing) >= before + 8)
    assert ours.downs == []
    for member in (ours, theirs, third):
        assert set(await member.seen()) == set(wire.members)
    wire.heal()
    await wire.agree()
    assert ours.downs == []


@pytest.mark.rule("membership-5.tcp", "membership-10.streams")
async def test_our_probes_fall_back_to_tcp(wire: Cluster) -> None:
    """Where UDP is lost both ways, connections keep both alive."""
    ours, theirs = await mixed(wire, 1, 1)
    assert isinstance(ours, PythonMember)
    wire.cut([ours], [theirs], "meta l4proto udp")
    before = ours.exchanged
    await until(lambda: ours.exchanged >= before + 8)
    assert ours.downs == []
    assert (await theirs.seen())[ours.name].state == State.ALIVE
    wire.heal()
    await wire.agree()
    assert ours.downs == []


@pytest.mark.rule("membership-4.everybody", "membership-10.keep")
async def test_a_late_comer_learns_who_died_and_who_left(wire: Cluster) -> None:
    """By push/pull from either kind; neither counts as live."""
    members = await mixed(wire, 3, 3)
    killed, left = members[0], members[1]
    await wire.kill(killed)
    await wire.leave(left)
    await wire.agree()
    theirs = next(m for m in wire.members.values() if isinstance(m, GoMember))
    ours = next(m for m in wire.members.values() if isinstance(m, PythonMember))
    for name, asked in (("late-a", theirs), ("late-b", ours)):
        late = await wire.python(name)
        await late.join(asked)
        await wire.agree()
        known = {name: member.state for name, member in late.swim.members().items()}
        assert known.get(killed.name, State.DEAD) == State.DEAD
        assert known.get(left.name, State.LEFT) in (State.LEFT, State.DEAD)
    late_go = await wire.go("late-c")
    await late_go.join(ours)
    await wire.agree()


@pytest.mark.rule("membership-6.alive.7")
async def test_metadata_is_told_and_told_anew(wire: Cluster) -> None:
    """What members say about themselves arrives at both kinds, and so does a change."""
    ours = await wire.python(meta=b"mlb1 ours")
    theirs = await wire.go(meta=b"theirs")
    third = await wire.python()
    await ours.join(theirs)
    await third.join(theirs)
    await wire.agree()

    async def is_told(judge: GoMember | PythonMember, name: str, meta: bytes) -> bool:
        return (await judge.seen())[name].meta == meta

    await until(lambda: is_told(theirs, ours.name, b"mlb1 ours"))
    await until(lambda: is_told(third, theirs.name, b"theirs"))
    await ours.set_meta(b"mlb1 anew")
    await theirs.set_meta(b"anew")
    await until(lambda: is_told(theirs, ours.name, b"mlb1 anew"))
    await until(lambda: is_told(third, theirs.name, b"anew"))
    await until(lambda: is_told(third, ours.name, b"mlb1 anew"))
    await wire.agree()


@pytest.mark.rule("membership-3.5.plain")
async def test_compression_may_differ(wire: Cluster) -> None:
    """It is the sender's affair."""
    plain = msgspec.structs.replace(wire.settings, is_compressed=False)
    ours, theirs = await wire.python(), await wire.go(settings=plain)
    await theirs.join(ours)
    await wire.agree()


@pytest.mark.rule("membership-2.address")
async def test_members_have_ipv6_addresses_too(wire: Cluster) -> None:
    """Sixteen bytes instead of four."""
    ours = await wire.python(address="fd00::1")
    theirs = await wire.go(address="fd00::2")
    await theirs.join(ours)
    await wire.agree()
    await wire.kill(theirs)
    await wire.agree()

"""Our announcers and MetalLB's speakers in one cluster: gossip for all, the detector for ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mercurylb.membership.census import OURS
from mercurylb.membership.member import DownReason
from mercurylb.membership.swim.message import Dead, Suspect
from tests.interop.announcer import Announcer, announcer, introduce
from tests.interop.cluster import Cluster, cluster, forge, until
from tests.interop.members import GoMember, Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]


@pytest.fixture
async def wire(
    request: pytest.FixtureRequest, tmp_path: Path, inside: str
) -> AsyncIterator[Cluster]:
    """Give a cluster without members, under the settings of the test."""
    async with cluster(tmp_path / "go.log", inside, getattr(request, "param", Settings())) as made:
        yield made


async def mixed(
    wire: Cluster, our_count: int, their_count: int
) -> tuple[list[Announcer], list[GoMember]]:
    """Start both kinds; only ours are told of the others."""
    ours = [await announcer(wire) for _ in range(our_count)]
    theirs = [await wire.go() for _ in range(their_count)]
    await introduce(wire)
    await wire.agree()
    return ours, theirs


def leaves(member: GoMember) -> list[str]:
    """Return who left or died, as the original told it."""
    return [node for event, _, node in member.process.events if event == "leave"]


@pytest.mark.parametrize(
    "wire",
    [Settings(), Settings(secret=b""), Settings(is_compressed=False)],
    ids=["sealed", "clear", "not compressed"],
    indirect=True,
)
@pytest.mark.parametrize(("our_count", "their_count"), [(1, 1), (3, 2)])
async def test_both_kinds_agree(wire: Cluster, our_count: int, their_count: int) -> None:
    """Who lives and who owns is the same for all; ours have metadata that MetalLB ignores."""
    ours, theirs = await mixed(wire, our_count, their_count)
    for member in theirs:
        seen = await member.seen()
        assert all(seen[one.name].meta.startswith(OURS) for one in ours)


async def test_ten_of_each_agree(wire: Cluster) -> None:
    """Twenty members, the detector among ten of them."""
    process = await wire.process()
    for _ in range(10):
        await announcer(wire)
        await wire.go(process=process)
    await introduce(wire)
    await wire.agree()


async def test_a_killed_announcer_is_dead_for_everybody(wire: Cluster) -> None:
    """The detector finds it, and the original hears of it."""
    (victim, *others), theirs = await mixed(wire, 3, 2)
    await wire.kill(victim)
    await wire.agree()
    for member in others:
        assert [node for node, _ in member.downs] == [victim.name]
    for speaker in theirs:
        assert leaves(speaker) == [victim.name]


async def test_a_killed_speaker_is_dead_for_everybody(wire: Cluster) -> None:
    """Gossip finds it: ours know no other way to watch it."""
    ours, (victim, other) = await mixed(wire, 2, 2)
    await wire.kill(victim)
    await wire.agree()
    for member in ours:
        assert [node for node, _ in member.downs] == [victim.name]
    assert leaves(other) == [victim.name]


async def test_a_leaving_announcer_is_told_to_everybody(wire: Cluster) -> None:
    """Before it is silent."""
    (leaver, *others), theirs = await mixed(wire, 3, 2)
    await wire.leave(leaver)
    for member in wire.members.values():
        assert leaver.name not in await member.seen()
    for member in others:
        assert member.downs == [(leaver.name, DownReason.LEAVING)]
    for speaker in theirs:
        assert leaves(speaker) == [leaver.name]
    await wire.agree()


async def test_a_leaving_speaker_is_told_to_everybody(wire: Cluster) -> None:
    """Its own word is enough."""
    ours, (leaver, _) = await mixed(wire, 2, 2)
    await wire.leave(leaver)
    await wire.agree()
    for member in ours:
        assert member.downs == [(leaver.name, DownReason.LEAVING)]


@pytest.mark.parametrize("accusation", [Suspect, Dead])
async def test_a_false_accusation_is_refuted(
    wire: Cluster, accusation: type[Suspect | Dead]
) -> None:
    """An announcer that is said to be dead says that it is not, and stays a member."""
    (accused, *_), _ = await mixed(wire, 2, 2)
    judge = await wire.python()
    await judge.join(accused)
    await wire.agree()
    incarnation = judge.swim.members()[accused.name].incarnation
    said = accusation(incarnation + 5, accused.name, "nobody")
    for member in list(wire.members.values()):
        await forge(wire.settings, member, said)
    await until(lambda: judge.swim.members()[accused.name].incarnation > incarnation + 5)
    await wire.agree()


async def test_a_cut_heals_by_itself(wire: Cluster) -> None:
    """One of each on either side: each side goes on by itself; together they are one again."""
    (a, b), (c, d) = await mixed(wire, 2, 2)
    wire.cut([a, c], [b, d])
    await wire.agree([a, c])
    await wire.agree([b, d])
    wire.heal()
    await wire.agree()


@pytest.mark.rule("membership-9.return")
async def test_an_announcer_that_comes_back_is_taken_in(wire: Cluster) -> None:
    """Killed and started again, with a clock that went on, or one that went back."""
    (gone, *_), _ = await mixed(wire, 2, 2)
    for incarnation in (1_700_000_100, 1_600_000_000):
        await wire.kill(gone)
        gone = await announcer(wire, gone.name, gone.address, incarnation=incarnation)
        await introduce(wire)
        await wire.agree()


async def test_notes_arrive_where_they_are_understood(wire: Cluster) -> None:
    """Between ours; the original carries them on."""
    (a, b), (c,) = await mixed(wire, 2, 1)
    await a.set_meta(b"a note")
    await until(lambda: b.notes.get(a.name) == b"a note")

    async def is_carried() -> bool:
        return (await c.seen())[a.name].meta == OURS + b"a note"

    await until(is_carried)
    assert c.name not in b.notes


async def test_speakers_are_replaced_one_by_one(wire: Cluster) -> None:
    """A rollout from MetalLB to MercuryLB: same names, same addresses, always one cluster."""
    speakers = [await wire.go(f"node-{n}") for n in range(3)]
    for speaker in speakers[1:]:
        await speaker.join(speakers[0])
    await wire.agree()
    for speaker in speakers:
        await wire.leave(speaker)
        await wire.agree()
        await announcer(wire, speaker.name, speaker.address)
        await introduce(wire)
        await wire.agree()

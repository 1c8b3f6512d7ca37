"""The store's copy, its dirty keys and its bell."""

from __future__ import annotations

import asyncio

import msgspec

from mercurylb.kube.reflector import Applied, Deleted, Restarted, Unreadable
from mercurylb.kube.store import Store, Wakeup


class Meta(msgspec.Struct, frozen=True):
    name: str
    namespace: str | None
    resource_version: str


class Thing(msgspec.Struct, frozen=True):
    metadata: Meta


def thing(name: str, version: int) -> Thing:
    """Make an object."""
    return Thing(Meta(name, None, str(version)))


def listed(*things: Thing, unreadable: tuple[Unreadable, ...] = ()) -> Restarted[Thing]:
    """Make the output of a complete list."""
    return Restarted({item.metadata.name: item for item in things}, unreadable)


def test_first_list_syncs_even_when_empty() -> None:
    """A program may begin once it knows that there is nothing."""
    store: Store[Thing] = Store()
    assert not store.has_synced
    store.apply(listed())
    assert store.has_synced
    assert store.take_dirty() == ()
    assert store.wakeup._rung.is_set()


def test_relist_marks_only_what_differs() -> None:
    """New, changed and vanished keys need work; those with the same version do not."""
    store: Store[Thing] = Store()
    store.apply(listed(thing("same", 1), thing("changed", 1), thing("gone", 1)))
    assert store.take_dirty() == ("same", "changed", "gone")
    store.apply(listed(thing("same", 1), thing("changed", 2), thing("new", 3)))
    assert set(store.take_dirty()) == {"changed", "gone", "new"}
    assert set(store.objects) == {"same", "changed", "new"}


def test_a_snapshot_does_not_change() -> None:
    """What was taken stays as it was, whatever comes."""
    store: Store[Thing] = Store()
    store.apply(Applied("a", thing("a", 1)))
    snapshot, revision = store.snapshot(), store.revision
    store.apply(Deleted("a"))
    assert list(snapshot) == ["a"]
    assert store.get("a") is None
    assert store.revision > revision


def test_dirty_keys_come_once_and_in_order() -> None:
    """Many changes of a key are one piece of work; the oldest comes first."""
    store: Store[Thing] = Store()
    for version, name in enumerate("abab"):
        store.apply(Applied(name, thing(name, version)))
    assert store.take_dirty() == ("a", "b")
    assert store.take_dirty() == ()
    store.mark_dirty(["b"])
    assert store.take_dirty() == ("b",)


def test_repeated_line_is_no_work() -> None:
    """The same version again, or a deletion of what is not there, changes nothing."""
    store: Store[Thing] = Store()
    store.apply(Applied("a", thing("a", 1)))
    store.take_dirty()
    revision = store.revision
    store.apply(Applied("a", thing("a", 1)))
    store.apply(Deleted("b"))
    assert (store.take_dirty(), store.revision) == ((), revision)


def test_last_good_copy_stays_while_an_object_is_unreadable() -> None:
    """A bad object is a named problem; its copy stays through a relist, until it is gone."""
    store: Store[Thing] = Store()
    store.apply(listed(thing("a", 1)))
    store.take_dirty()
    store.apply(Unreadable("a", "why"))
    store.apply(listed(unreadable=(Unreadable("a", "why"),)))
    assert store.get("a") == thing("a", 1)
    assert store.problems == {"a": "why"}
    assert store.take_dirty() == ("a",)
    store.apply(listed())
    assert (store.get("a"), dict(store.problems)) == (None, {})
    assert store.take_dirty() == ("a",)


def test_a_problem_ends_when_the_object_can_be_read() -> None:
    """The healed object is work even if its version is the one we had."""
    for healed in (Applied("a", thing("a", 1)), listed(thing("a", 1))):
        store: Store[Thing] = Store()
        store.apply(Applied("a", thing("a", 1)))
        store.apply(Unreadable("a", "why"))
        store.take_dirty()
        store.apply(healed)
        assert dict(store.problems) == {}
        assert store.take_dirty() == ("a",)


async def test_the_bell_stays_rung() -> None:
    """A change before the wait is not missed, and many changes wake once."""
    wakeup = Wakeup()
    store: Store[Thing] = Store(wakeup)
    store.apply(Applied("a", thing("a", 1)))
    store.apply(Applied("b", thing("b", 2)))
    async with asyncio.timeout(1):
        await wakeup.wait()
    waiting = asyncio.ensure_future(wakeup.wait())
    await asyncio.sleep(0)
    assert not waiting.done()
    store.apply(Deleted("a"))
    async with asyncio.timeout(1):
        await waiting

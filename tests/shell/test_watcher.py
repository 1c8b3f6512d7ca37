"""A store follows the API server through everything that breaks."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from typing import Any

import pytest

from mercurylb.kube.report import Silence
from mercurylb.kube.store import Store, Wakeup
from mercurylb.kube.watch import Selection
from mercurylb.kube.watcher import MISSING_TRIES, Watcher


class Warnings(Silence):
    """Keeps what was warned of."""

    def __init__(self) -> None:
        self.events: list[tuple[str, object]] = []

    def warning(self, event: str, /, **pairs: object) -> None:
        self.events.append((event, pairs.get("object")))


def make(kit: Any, client: Any, **options: Any) -> Watcher[Any]:
    """Make a watcher with a store of its own."""
    return Watcher(client, kit.things, Store(), random=kit.random, **options)


async def test_lists_then_follows(kit: Any, background: Any, until: Any) -> None:
    """What exists is listed, what changes is followed, what is deleted goes."""
    await kit.api.put("a", size=1)
    async with kit.client() as client:
        watcher = make(kit, client)
        async with background(watcher.run()):
            await watcher.store.wait_synced()
            assert watcher.store.take_dirty() == ("default/a",)
            await kit.api.put("b", size=2)
            await kit.api.put("a", size=3)
            await until(lambda: "default/b" in watcher.store)
            await until(lambda: watcher.store.get("default/a").spec.size == 3)
            await kit.api.remove("b")
            await until(lambda: "default/b" not in watcher.store)
            assert set(watcher.store.take_dirty()) == {"default/a", "default/b"}


async def test_pages(kit: Any, background: Any) -> None:
    """A list longer than a page arrives whole, in one swap."""
    for index in range(1203):
        await kit.api.put(f"n{index}")
    async with kit.client() as client:
        watcher = make(kit, client)
        async with background(watcher.run()):
            await watcher.store.wait_synced()
    assert len(watcher.store) == 1203
    lists = [r for r in kit.api.requests if "watch" not in r.query]
    assert [r.query.get("continue") for r in lists] == [None, "500", "1000"]


async def test_resumes_after_a_break_without_a_list(kit: Any, background: Any, until: Any) -> None:
    """A broken connection goes on from the last version: no list, nothing lost."""
    async with kit.client() as client:
        watcher = make(kit, client)
        async with background(watcher.run()):
            await until(lambda: kit.api.watches)
            kit.api.break_watches()
            await kit.api.put("a")
            await until(lambda: "default/a" in watcher.store)
    assert watcher.counts.relists == 1


async def test_expired_watch_lists_again(kit: Any, background: Any, until: Any) -> None:
    """After 410 a fresh list shows what vanished meanwhile, and only changes are dirty."""
    await kit.api.put("kept")
    await kit.api.put("gone")
    async with kit.client() as client:
        watcher = make(kit, client)
        async with background(watcher.run()):
            await until(lambda: kit.api.watches)
            watcher.store.take_dirty()
            port = kit.api.port
            await kit.api.stop()
            await kit.api.remove("gone")
            await kit.api.put("new")
            kit.api.compact()
            assert kit.api.port == port
            await kit.api.start()
            await until(lambda: watcher.counts.relists == 2)
    assert set(watcher.store.objects) == {"default/kept", "default/new"}
    assert set(watcher.store.take_dirty()) == {"default/gone", "default/new"}


async def test_server_that_returns_is_noticed_soon(kit: Any, background: Any, until: Any) -> None:
    """However long the API server was away, the store follows within two seconds of its return."""
    async with kit.client() as client:
        watcher = make(kit, client)
        async with background(watcher.run()):
            await until(lambda: kit.api.watches)
            await kit.api.stop()
            await until(lambda: watcher.counts.failures > 8, within_s=20)
            await kit.api.put("late")
            await kit.api.start()
            await until(lambda: "default/late" in watcher.store, within_s=2.0)


async def test_two_megabyte_object(kit: Any, background: Any, until: Any) -> None:
    """A line of more than two megabytes is an object like any other."""
    async with kit.client() as client:
        watcher = make(kit, client)
        async with background(watcher.run()):
            await until(lambda: kit.api.watches)
            await kit.api.put("big", note="x" * 2_200_000)
            await until(lambda: "default/big" in watcher.store)
    assert len(watcher.store.get("default/big").spec.note) == 2_200_000
    assert watcher.counts.relists == 1


async def test_endless_line_is_bounded(kit: Any, background: Any, until: Any) -> None:
    """A line beyond the bound is counted, the list is read anew, and the watch goes on."""
    async with kit.client() as client:
        watcher = make(kit, client, line_bytes_max=10_000)
        async with background(watcher.run()):
            await until(lambda: kit.api.watches)
            await kit.api.send_raw(b"x" * 20_000)
            await until(lambda: watcher.counts.relists == 2)
            await kit.api.put("a")
            await until(lambda: "default/a" in watcher.store)
    assert watcher.counts.failures == 1


async def test_unreadable_object_harms_nobody_else(kit: Any, background: Any, until: Any) -> None:
    """An object that does not fit keeps its last good copy and is named; the others go on."""
    await kit.api.put("a", size=1)
    log = Warnings()
    async with kit.client() as client:
        watcher = make(kit, client, log=log)
        async with background(watcher.run()):
            await until(lambda: kit.api.watches)
            await kit.api.put("a", size="many")
            await kit.api.put("b", size=2)
            await until(lambda: "default/b" in watcher.store)
            assert watcher.store.get("default/a").spec.size == 1
            assert "size" in watcher.store.problems["default/a"]
            assert log.events == [("kube.object_unreadable", "Thing default/a")]
            assert watcher.counts.unreadable == 1
            kit.api.compact()
            await kit.api.put("c")
            kit.api.break_watches()
            await kit.api.put("a", size=5)
            await until(lambda: watcher.store.get("default/a").spec.size == 5)
            assert watcher.store.problems == {}


async def test_garbage_line_lists_again(kit: Any, background: Any, until: Any) -> None:
    """A line that is no JSON makes the copy suspect: it is listed again."""
    async with kit.client() as client:
        watcher = make(kit, client)
        async with background(watcher.run()):
            await until(lambda: kit.api.watches)
            await kit.api.send_raw(b'{"type": "ADDED", "obj\n')
            await until(lambda: watcher.counts.relists == 2)


async def test_silent_connection_is_dropped(kit: Any, background: Any, until: Any) -> None:
    """A half-open watch, on which nothing comes any more, is opened anew."""
    async with kit.client() as client:
        watcher = make(kit, client, silence_max_s=0.1)
        async with background(watcher.run()):
            await until(lambda: sum("watch" in r.query for r in kit.api.requests) >= 3)
    assert watcher.counts.relists == 1


async def test_bookmarks_move_the_version(kit: Any, background: Any, until: Any) -> None:
    """After a bookmark the watch resumes from there, so quiet kinds do not expire."""
    async with kit.client() as client:
        watcher = make(kit, client)
        async with background(watcher.run()):
            await until(lambda: kit.api.watches)
            meta = {"resourceVersion": "1234", "name": ""}
            mark = {"type": "BOOKMARK", "object": {"kind": "Thing", "metadata": meta}}
            await kit.api.send_raw(json.dumps(mark).encode() + b"\n")
            await until(lambda: watcher.counts.lines == 1)
            kit.api.break_watches()
            await until(lambda: kit.api.requests[-1].query.get("resourceVersion") == "1234")
    assert kit.api.requests[-1].query["allowWatchBookmarks"] == "true"


@pytest.mark.rule("api-1.namespace")
async def test_selection_reaches_the_server(kit: Any, background: Any, until: Any) -> None:
    """Namespace and selectors restrict both list and watch."""
    await kit.api.put("a", namespace="one")
    await kit.api.put("b", namespace="two")
    selection = Selection(namespace="two", labels="x=y", fields="metadata.name=b")
    async with kit.client() as client:
        watcher = make(kit, client, selection=selection)
        async with background(watcher.run()):
            await until(lambda: kit.api.watches)
    assert set(watcher.store.objects) == {"two/b"}
    for request in kit.api.requests:
        assert request.path == "/apis/example.org/v1/namespaces/two/things"
        assert request.query["labelSelector"] == "x=y"
        assert request.query["fieldSelector"] == "metadata.name=b"


async def test_denied_then_granted(kit: Any, background: Any) -> None:
    """Rights that come late (a chart still being installed) are enough."""
    for _ in range(3):
        kit.api.fail_next("GET", 403)
    async with kit.client() as client:
        watcher = make(kit, client)
        async with background(watcher.run()):
            async with asyncio.timeout(5):
                await watcher.store.wait_synced()


async def test_one_bell_for_several_stores(kit: Any, background: Any) -> None:
    """A program that shares one wakeup among stores wakes for any of them, once per batch."""
    wakeup = Wakeup()
    stores: list[Store[Any]] = [Store(wakeup), Store(wakeup)]
    async with kit.client() as client:
        watchers = [Watcher(client, kit.things, store, random=kit.random) for store in stores]
        async with background(*(watcher.run() for watcher in watchers)):
            for store in stores:
                await store.wait_synced()
            await wakeup.wait()
            await kit.api.put("a")
            async with asyncio.timeout(5):
                while not all(len(store) for store in stores):
                    await wakeup.wait()


async def test_a_list_anew_shows_what_the_watch_has_not_yet(
    kit: Any, background: Any, until: Any
) -> None:
    """Whoever takes over decides with a list that began after he did, not with a late watch."""
    await kit.api.put("kept")
    async with kit.client() as client:
        watcher = make(kit, client)
        async with background(watcher.run()):
            await until(lambda: kit.api.watches)
            # A change that no watch tells of.
            kit.api.objects["default", "silent"] = {
                "metadata": {"name": "silent", "namespace": "default", "resourceVersion": "1001"},
                "spec": {},
            }
            watcher.relist()
            assert not watcher.is_fresh.is_set()
            async with asyncio.timeout(5.0):
                await watcher.is_fresh.wait()
            assert set(watcher.store.objects) == {"default/kept", "default/silent"}
            await until(lambda: kit.api.watches)
            await kit.api.put("later")
            await until(lambda: "default/later" in watcher.store)
    assert watcher.counts.relists == 2


async def test_a_list_anew_during_an_outage_comes_with_the_return(
    kit: Any, background: Any, until: Any
) -> None:
    """The wish is kept until a list that began after it is complete."""
    async with kit.client() as client:
        watcher = make(kit, client)
        async with background(watcher.run()):
            await until(lambda: kit.api.watches)
            await kit.api.stop()
            await until(lambda: watcher.counts.failures)
            watcher.relist()
            await kit.api.put("late")
            await kit.api.start()
            async with asyncio.timeout(5.0):
                await watcher.is_fresh.wait()
            assert "default/late" in watcher.store


async def test_a_list_that_began_before_does_not_count(
    kit: Any, background: Any, until: Any
) -> None:
    """A list that was under way when a new one was wanted is thrown away."""
    async with kit.client() as client:
        watcher = make(kit, client)
        kit.api.delay_s = 0.05
        async with background(watcher.run()):
            await until(lambda: kit.api.requests)
            watcher.relist()
            async with asyncio.timeout(5.0):
                await watcher.is_fresh.wait()
            assert len([each for each in kit.api.requests if "watch" not in each.query]) == 2
            assert watcher.counts.relists == 1


async def test_a_refusal_after_an_outage_is_asked_again_soon(
    kit: Any, background: Any, until: Any
) -> None:
    """A server that has just started refuses for a moment; that is no reason to wait long."""
    async with kit.client() as client:
        watcher = make(kit, client)
        async with background(watcher.run()):
            await until(lambda: kit.api.watches)
            await kit.api.stop()
            await until(lambda: watcher.counts.failures > 6, within_s=20)
            for _ in range(4):
                kit.api.fail_next("GET", 403)
            await kit.api.put("late")
            await kit.api.start()
            await until(lambda: "default/late" in watcher.store, within_s=4.0)


@pytest.mark.parametrize("is_dispensable", [True, False])
async def test_a_kind_that_is_not_there_is_said_once(
    kit: Any, background: Any, until: Any, monkeypatch: pytest.MonkeyPatch, *, is_dispensable: bool
) -> None:
    """Where a program can do without, it counts as empty; once installed it is followed.

    A kind nothing can be done without is waited for.
    """
    monkeypatch.setattr("mercurylb.kube.watcher.DENIED_CAP_S", 0.01)
    for _ in range(MISSING_TRIES + 5):
        kit.api.fail_next("GET", 404)
    await kit.api.put("a")
    told = Warnings()
    things = dataclasses.replace(kit.things, is_dispensable=is_dispensable)
    async with kit.client() as client:
        watcher = Watcher(client, things, Store(), random=kit.random, log=told, retry_cap_s=0.01)
        async with background(watcher.run()):
            await until(lambda: watcher.counts.is_kind_missing)
            assert watcher.store.has_synced is is_dispensable
            assert not len(watcher.store)
            await until(lambda: "default/a" in watcher.store)
            assert not watcher.counts.is_kind_missing
    assert [event for event, _ in told.events].count("kube.kind_missing") == 1

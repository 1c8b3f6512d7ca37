"""Things are built once, whole or not at all."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING

import pytest

from lab.build import cache

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def cache_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give each test a cache of its own."""
    monkeypatch.setenv("MERCURYLB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MERCURYLB_QUIET", "1")
    return tmp_path / "cache"


def test_a_thing_is_built_once(cache_root: Path) -> None:
    """The second call finds what the first one built."""
    calls: list[Path] = []

    def build(folder: Path) -> None:
        calls.append(folder)
        (folder / "result").write_text("done")

    target = cache_root / "thing"
    for _ in range(2):
        assert (cache.build_once(target, "thing", build) / "result").read_text() == "done"
    assert len(calls) == 1


def test_a_failed_build_leaves_nothing(cache_root: Path) -> None:
    """A failure leaves neither target nor scratch folder, and the next try starts afresh."""

    def fail(folder: Path) -> None:
        (folder / "half").write_text("x")
        raise RuntimeError("no network")

    target = cache_root / "thing"
    with pytest.raises(RuntimeError, match="no network"):
        cache.build_once(target, "thing", fail)
    assert sorted(p.name for p in cache_root.iterdir()) == ["locks"]
    cache.build_once(target, "thing", lambda folder: (folder / "whole").touch())
    assert [p.name for p in target.iterdir()] == ["whole"]


def test_two_builders_do_not_collide(cache_root: Path) -> None:
    """A second builder waits for the first and takes its result."""
    started = threading.Event()
    calls: list[str] = []

    def slow(folder: Path) -> None:
        calls.append("slow")
        started.set()
        time.sleep(0.2)
        (folder / "result").touch()

    target = cache_root / "thing"
    first = threading.Thread(target=cache.build_once, args=(target, "thing", slow))
    first.start()
    assert started.wait(5)
    cache.build_once(target, "thing", lambda _folder: calls.append("second"))
    first.join()
    assert calls == ["slow"]
    assert (target / "result").exists()


def test_only_the_latest_results_are_kept(cache_root: Path) -> None:
    """Older siblings go, the current one and the latest few stay, other things are not touched."""
    for age, name in enumerate(["code-a", "code-b", "code-c", "code-d", "base-a"]):
        (cache_root / name).mkdir(parents=True)
        os.utime(cache_root / name, (100 - age, 100 - age))
    cache.drop_older(cache_root / "code-d", "code-*", keep=2)
    assert sorted(p.name for p in cache_root.iterdir()) == ["base-a", "code-a", "code-b", "code-d"]

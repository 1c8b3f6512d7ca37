"""The reflector's answers to every kind of page, line and failure."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from mercurylb.errors import ApiError, Denied, Gone, KubeError, Unreachable, WireError
from mercurylb.kube.reflector import (
    Applied,
    Broken,
    Deleted,
    ListRequest,
    Reflector,
    Restarted,
    State,
    Unreadable,
    WatchRequest,
)
from mercurylb.kube.resource import Resource
from mercurylb.kube.watch import Selection


class Meta(msgspec.Struct, frozen=True, rename="camel"):
    name: str = ""
    namespace: str = ""
    resource_version: str = ""


class Thing(msgspec.Struct, frozen=True):
    metadata: Meta = Meta()
    size: int = 0


THINGS = Resource("example.org", "v1", "things", "Thing", Thing)


def thing(name: str, version: int, size: object = 0) -> dict[str, Any]:
    """Make an object as JSON has it."""
    meta = {"name": name, "namespace": "ns", "resourceVersion": str(version)}
    return {"metadata": meta, "size": size}


def page(*items: dict[str, Any], version: str = "50", more: str = "") -> bytes:
    """Make a page of a list."""
    meta = {"resourceVersion": version, "continue": more}
    return json.dumps({"metadata": meta, "items": items}).encode()


def line(kind: str, item: object) -> bytes:
    """Make a line of a watch."""
    return json.dumps({"type": kind, "object": item}).encode()


def watching() -> Reflector[Thing]:
    """Make a reflector that has listed one object and watches."""
    reflector = Reflector(THINGS)
    reflector.on_page(page(thing("a", 10)))
    reflector.on_opened()
    assert reflector.is_watching
    return reflector


def test_pages_are_asked_for_until_the_last() -> None:
    """Nothing is said before the last page; then everything at once."""
    reflector = Reflector(THINGS, Selection(labels="x"), page_limit=1)
    assert reflector.next_request() == ListRequest({"labelSelector": "x", "limit": "1"})
    assert reflector.on_page(page(thing("a", 10), more="tok")) == []
    assert reflector.state is State.PAGING
    assert reflector.next_request() == ListRequest(
        {"labelSelector": "x", "limit": "1", "continue": "tok"}
    )
    [restarted] = reflector.on_page(page(thing("b", 60)))
    assert isinstance(restarted, Restarted)
    assert list(restarted.objects) == ["ns/a", "ns/b"]
    assert reflector.state is State.LISTED


def test_the_watch_begins_where_the_list_ended() -> None:
    """The version is that of the list, not of an object in it."""
    reflector = Reflector(THINGS, watch_timeout_s=300)
    reflector.on_page(page(thing("a", 99)))
    assert reflector.next_request() == WatchRequest(
        {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": "50",
            "timeoutSeconds": "300",
        }
    )


@pytest.mark.parametrize("kind", ["ADDED", "MODIFIED"])
def test_changes_are_applied(kind: str) -> None:
    """A line with an object gives that object and moves the version."""
    reflector = watching()
    [applied] = reflector.on_line(line(kind, thing("b", 61, size=4)))
    assert applied == Applied("ns/b", Thing(Meta("b", "ns", "61"), 4))
    assert reflector.resource_version == "61"


def test_deletion() -> None:
    """A deleted object is named, even if it could not be read."""
    assert watching().on_line(line("DELETED", thing("a", 62, size="x"))) == [Deleted("ns/a")]


def test_bookmark() -> None:
    """A bookmark moves the version and says nothing."""
    reflector = watching()
    assert reflector.on_line(line("BOOKMARK", {"metadata": {"resourceVersion": "77"}})) == []
    assert reflector.resource_version == "77"


def test_unreadable_object_is_named_and_passed_over() -> None:
    """One bad object costs itself only, on the list and on the watch."""
    reflector = Reflector(THINGS)
    [restarted] = reflector.on_page(page(thing("a", 10), thing("bad", 11, size="x")))
    assert isinstance(restarted, Restarted)
    assert list(restarted.objects) == ["ns/a"]
    assert [bad.key for bad in restarted.unreadable] == ["ns/bad"]
    reflector.on_opened()
    [bad] = reflector.on_line(line("MODIFIED", thing("a", 80, size=[])))
    assert isinstance(bad, Unreadable)
    assert (bad.key, "$.size" in bad.message) == ("ns/a", True)
    assert reflector.resource_version == "80"
    assert reflector.is_watching


@pytest.mark.parametrize(
    "item", [None, 3, [], {"metadata": 1}, {"metadata": {"name": 5}}], ids=repr
)
def test_object_without_identity(item: object) -> None:
    """What cannot even be named is reported without a name."""
    for kind in ("ADDED", "DELETED", "BOOKMARK", "NEWS"):
        [bad] = watching().on_line(line(kind, item))
        assert isinstance(bad, Unreadable)
        assert bad.key == ""


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ({"code": 410, "reason": "Expired"}, State.EMPTY),
        ({"code": 410, "reason": "Gone"}, State.EMPTY),
        ({"code": 504, "reason": "Timeout", "message": "Too large resource version"}, State.EMPTY),
        ({"code": 500, "reason": "InternalError"}, State.LISTED),
        ({}, State.EMPTY),
    ],
)
def test_error_lines(status: dict[str, Any], state: State) -> None:
    """An error ends the watch; what puts the version in doubt asks for a new list."""
    reflector = watching()
    [broken] = reflector.on_line(line("ERROR", status))
    assert isinstance(broken, Broken)
    assert reflector.state is state
    assert broken.is_expired == (state is State.EMPTY)


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (Unreachable("x"), State.LISTED),
        (Denied(403, "Forbidden", ""), State.LISTED),
        (ApiError(429, "TooManyRequests", ""), State.LISTED),
        (ApiError(503, "ServiceUnavailable", ""), State.LISTED),
        (Gone(410, "Expired", ""), State.EMPTY),
        (ApiError(400, "BadRequest", ""), State.EMPTY),
        (WireError("watch", "too long"), State.EMPTY),
    ],
)
def test_failures_of_a_watch(error: KubeError | WireError, state: State) -> None:
    """A passing failure resumes; anything else lists again."""
    reflector = watching()
    reflector.on_error(error)
    assert reflector.state is state


def test_expired_continue_token_starts_the_list_anew() -> None:
    """Pages of an expired list are forgotten: they belong to another moment."""
    reflector = Reflector(THINGS)
    reflector.on_page(page(thing("old", 10), more="tok"))
    reflector.on_error(Gone(410, "Expired", ""))
    assert reflector.next_request() == ListRequest({"limit": "500"})
    [restarted] = reflector.on_page(page(thing("new", 90)))
    assert isinstance(restarted, Restarted)
    assert list(restarted.objects) == ["ns/new"]


def test_passing_failure_between_pages_goes_on_with_the_page() -> None:
    """A server that is busy does not cost the pages already here."""
    reflector = Reflector(THINGS)
    reflector.on_page(page(thing("a", 10), more="tok"))
    reflector.on_error(Unreachable("x"))
    assert reflector.next_request() == ListRequest({"limit": "500", "continue": "tok"})


def test_end_resumes() -> None:
    """The server ends each watch after a while; it goes on from the last version."""
    reflector = watching()
    reflector.on_line(line("ADDED", thing("b", 61)))
    reflector.on_end()
    request = reflector.next_request()
    assert isinstance(request, WatchRequest)
    assert request.params["resourceVersion"] == "61"


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"items": 4}', b'{"items": []}', b"\xff", b"[" * 100_000]
)
def test_pages_that_are_none(body: bytes) -> None:
    """A list that is no list, or does not say which moment it shows, is asked for again."""
    reflector = Reflector(THINGS)
    [broken] = reflector.on_page(body)
    assert isinstance(broken, Broken)
    assert reflector.state is State.EMPTY


def test_late_inputs_change_nothing() -> None:
    """An end or an opening that comes too late is ignored."""
    reflector = Reflector(THINGS)
    reflector.on_opened()
    reflector.on_end()
    assert reflector.state is State.EMPTY

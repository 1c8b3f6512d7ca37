"""The client speaks to a server as Kubernetes clients do, and says what went wrong."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mercurylb.errors import (
    ApiError,
    Conflict,
    Denied,
    Gone,
    KubeError,
    NotFound,
    Unreachable,
    WireError,
)
from mercurylb.kube.operation import Verb


async def test_create_read_change_delete(kit: Any) -> None:
    """The life of an object, each step decoded into its struct."""
    async with kit.client() as client:
        body = {"metadata": {"name": "a"}, "spec": {"size": 1}}
        made = await client.create(kit.things, body, namespace="default")
        assert made.spec.size == 1
        patched = await client.patch(
            kit.things, "a", {"spec": {"size": 2}}, namespace="default", subresource="status"
        )
        assert patched.spec.size == 2
        read = await client.get(kit.things, "a", namespace="default")
        assert read == patched
        replaced = await client.replace(
            kit.things, "a", kit.thing(metadata=read.metadata), namespace="default"
        )
        assert replaced.metadata.resource_version > read.metadata.resource_version
        await client.delete(kit.things, "a", namespace="default")
        with pytest.raises(NotFound):
            await client.get(kit.things, "a", namespace="default")


async def test_patch_kinds(kit: Any) -> None:
    """Each kind of patch has its media type; an apply is forced and names its manager."""
    await kit.api.put("a")
    async with kit.client() as client:
        for verb in (Verb.MERGE, Verb.JSON_PATCH, Verb.APPLY):
            await client.patch(
                kit.things, "a", {}, namespace="default", verb=verb, field_manager="me"
            )
    sent = [(r.content_type, dict(r.query)) for r in kit.api.requests]
    assert sent == [
        ("application/merge-patch+json", {"fieldManager": "me"}),
        ("application/json-patch+json", {"fieldManager": "me"}),
        ("application/apply-patch+yaml", {"fieldManager": "me", "force": "true"}),
    ]


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, Denied), (403, Denied), (404, NotFound), (409, Conflict), (410, Gone), (422, ApiError)],
)
async def test_errors_have_types(kit: Any, status: int, kind: type[KubeError]) -> None:
    """Every refusal is the error its status says, with the server's own words."""
    kit.api.fail_next("GET", status)
    async with kit.client() as client:
        with pytest.raises(kind, match="injected Injected") as caught:
            await client.list(kit.things)
    assert isinstance(caught.value, ApiError)
    assert caught.value.status == status


async def test_lists_all_pages(kit: Any) -> None:
    """A list gives everything, however many pages."""
    for index in range(501):
        await kit.api.put(f"n{index}")
    async with kit.client() as client:
        assert len(await client.list(kit.things)) == 501


async def test_unreadable_object_is_a_wire_error(kit: Any) -> None:
    """What does not fit the struct is said, not passed on."""
    await kit.api.put("a", size="many")
    async with kit.client() as client:
        with pytest.raises(WireError, match="size"):
            await client.get(kit.things, "a", namespace="default")


async def test_nobody_there(kit: Any) -> None:
    """A server that is not there is unreachable, and the error says which request."""
    await kit.api.stop()
    async with kit.client() as client:
        with pytest.raises(Unreachable, match=r"GET /apis/example\.org/v1/things"):
            await client.list(kit.things)


async def test_server_that_hangs(kit: Any) -> None:
    """A request has an end even if the server does not answer."""
    kit.api.delay_s = 5.0
    async with kit.client(request_timeout_s=0.1) as client:
        with pytest.raises(Unreachable, match="Timeout"):
            await client.list(kit.things)


async def test_retry_after_is_obeyed(kit: Any) -> None:
    """A server that is busy is asked again after the time it asked for, within one's patience."""
    kit.api.fail_next("GET", 429, Retry_After="1")
    async with kit.client() as client:
        loop = asyncio.get_running_loop()
        before = loop.time()
        assert await client.list(kit.things) == []
        assert loop.time() - before >= 1.0
    kit.api.fail_next("GET", 429, Retry_After="7")
    async with kit.client(patience_s=2.0) as client:
        with pytest.raises(ApiError) as caught:
            await client.list(kit.things)
    assert caught.value.retry_after_s == 7.0


async def test_token_rotates(kit: Any) -> None:
    """After a 401 the credentials are read again and the request is repeated once."""
    kit.api.token = "t1"
    kit.credentials.next_token = "t1"
    async with kit.client() as client:
        assert await client.list(kit.things) == []
        assert kit.credentials.renewals == 1
        kit.api.token = "t2"
        with pytest.raises(Denied):
            await client.list(kit.things)


async def test_errors_keep_secrets(kit: Any) -> None:
    """Neither token nor body appears in an error."""
    kit.credentials.token = "very-hidden"
    kit.api.fail_next("POST", 422)
    async with kit.client() as client:
        with pytest.raises(ApiError) as caught:
            await client.create(kit.things, {"data": "very-hidden"}, namespace="default")
    assert "very-hidden" not in repr(caught.value) + str(caught.value)

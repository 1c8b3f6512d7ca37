"""Who may read the metrics is asked of the API server, sparingly."""

from __future__ import annotations

from typing import Any

import pytest

from mercurylb.errors import Unreachable
from mercurylb.kube import access
from mercurylb.kube.access import ACCESS_REVIEWS, TOKEN_REVIEWS, AccessReviewer, Review


class Server:
    """Knows `good` and `known`; only `good` is allowed."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.is_away = False

    async def create(self, resource: Any, body: Any, *, namespace: str = "") -> Review:
        assert namespace == ""
        self.asked.append((resource.kind, body))
        if self.is_away:
            raise Unreachable("away")
        if resource is TOKEN_REVIEWS:
            token = body["spec"]["token"]
            user = {"username": token, "uid": "u", "groups": ["g"], "extra": {"k": ["v"]}}
            status = {"authenticated": token in {"good", "known"}, "user": user}
        else:
            assert resource is ACCESS_REVIEWS
            status = {"allowed": body["spec"]["user"] == "good"}
        decoded = resource.decoder.decode(access.msgspec.json.encode({"status": status}))
        assert isinstance(decoded, Review)
        return decoded


@pytest.mark.parametrize(("token", "status"), [("good", 200), ("known", 403), ("other", 401)])
@pytest.mark.rule("speaker-2.metrics")
@pytest.mark.rule("metrics-1.1.reviews")
async def test_the_three_answers(token: str, status: int) -> None:
    """Unknown tokens are 401, known ones without the right 403."""
    server = Server()
    reviewer = AccessReviewer(server)  # type: ignore[arg-type]
    assert await reviewer.status_of(token) == status
    assert server.asked[0] == (
        "TokenReview",
        {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}},
    )
    if status != 401:
        assert server.asked[1][1]["spec"] == {
            "user": token,
            "uid": "u",
            "groups": ("g",),
            "extra": {"k": ("v",)},
            "nonResourceAttributes": {"path": "/metrics", "verb": "get"},
        }


async def test_answers_are_kept_for_a_while() -> None:
    """A scraper costs one review a minute; a refusal is asked again sooner."""
    server, now = Server(), 0.0
    reviewer = AccessReviewer(server, clock=lambda: now)  # type: ignore[arg-type]
    for moment in (0.0, 59.0):
        now = moment
        assert await reviewer.status_of("good") == 200
        assert await reviewer.status_of("known") == 403
    assert len(server.asked) == 6
    now = 60.0
    await reviewer.status_of("good")
    assert len(server.asked) == 8


@pytest.mark.rule("metrics-1.1.reviews")
async def test_an_outage_is_not_an_answer() -> None:
    """While the API server is away nobody gets in, and the first who asks after it does."""
    server = Server()
    reviewer = AccessReviewer(server)  # type: ignore[arg-type]
    server.is_away = True
    assert await reviewer.status_of("good") == 500
    server.is_away = False
    assert await reviewer.status_of("good") == 200


async def test_the_memory_is_bounded_and_holds_no_token() -> None:
    """However many tokens are tried, only so many answers are kept, by digest."""
    reviewer = AccessReviewer(Server())  # type: ignore[arg-type]
    for index in range(access.CACHE_MAX + 50):
        await reviewer.status_of(f"guess-{index}")
    assert len(reviewer._known) == access.CACHE_MAX
    assert "guess" not in repr(reviewer._known)

"""What a start does while the API server is away, and what ends it."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from mercurylb.errors import ApiError, Denied, KubeError, NotFound, Unreachable
from mercurylb.kube import patience
from mercurylb.kube.patience import through_outages

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


def server(*errors: KubeError) -> Callable[[], Awaitable[str]]:
    """Make something that fails a few times and then works."""
    left = list(errors)

    async def ask() -> str:
        if left:
            raise left.pop(0)
        return "answer"

    return ask


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "CONTROLLER_CAP_S", 0.001)


@pytest.mark.rule("controller-2.no-api")
@pytest.mark.parametrize(
    "errors",
    [
        [Unreachable("refused")] * 20,
        [ApiError(503, "ServiceUnavailable", "starting"), ApiError(429, "TooManyRequests", "wait")],
        [Unreachable("refused"), Denied(403, "Forbidden", "no rights known yet")],
    ],
)
async def test_a_server_that_is_away_is_waited_for(errors: list[KubeError]) -> None:
    """However long it takes, and through what a starting server says."""
    assert await through_outages(server(*errors), random.Random(1)) == "answer"


@pytest.mark.rule("controller-2.own-pod")
@pytest.mark.parametrize(
    "errors",
    [
        [NotFound(404, "NotFound", "no such pod")],
        [Denied(403, "Forbidden", "no")] * patience.REFUSALS_MAX,
        [ApiError(400, "BadRequest", "what?")],
    ],
)
async def test_an_answer_is_an_answer(errors: list[KubeError]) -> None:
    """What asking again would not change ends the start."""
    with pytest.raises(ApiError):
        await through_outages(server(*errors), random.Random(1))

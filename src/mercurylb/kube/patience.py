"""What has to be done at a start, done as soon as the API server lets us.

A program that ended because the API server is away would be started again by the kubelet ever more
seldom, and be late when the server is back.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from mercurylb.errors import ApiError, KubeError, Unreachable
from mercurylb.kube.backoff import CONTROLLER_CAP_S, Backoff
from mercurylb.kube.report import SILENCE, Log

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from random import Random

T = TypeVar("T")

_TOO_MANY = 429
_SERVER_ERROR = 500
REFUSALS_MAX = 8
"""A server that is just starting refuses for a moment what it allows later."""


async def through_outages(
    ask: Callable[[], Awaitable[T]], dice: Random, *, log: Log = SILENCE
) -> T:
    """Ask until there is an answer; raise the error when it is one that asking does not change."""
    backoff = Backoff(dice)
    refusal_count = 0
    while True:
        try:
            return await ask()
        except KubeError as error:
            if isinstance(error, ApiError) and not _is_passing(error):
                refusal_count += 1
                if refusal_count >= REFUSALS_MAX or error.status not in {401, 403}:
                    raise
            elif not isinstance(error, (ApiError, Unreachable)):
                raise
            if not backoff.failure_count:
                log.warning("kube.waits_for_api", reason=error)
        await asyncio.sleep(backoff.next_delay_s(cap_s=CONTROLLER_CAP_S))


def _is_passing(error: ApiError) -> bool:
    return error.status == _TOO_MANY or error.status >= _SERVER_ERROR

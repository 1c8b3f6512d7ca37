"""From an HTTP error answer of the API server to an exception of ours."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from mercurylb.errors import ApiError, Conflict, Denied, Gone, NotFound
from mercurylb.kube.watch import decode_status

if TYPE_CHECKING:
    from collections.abc import Mapping

_KINDS: dict[int, type[ApiError]] = {
    401: Denied,
    403: Denied,
    404: NotFound,
    409: Conflict,
    410: Gone,
}
RETRY_AFTER_MAX_S = 60.0
"""A server that asks for more is asked again all the same: our objects must not go stale."""


def error_from(status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
    """Make the typed error of an answer with a status of 400 or more."""
    said = decode_status(body)
    kind = _KINDS.get(status, ApiError)
    message = said.message or f"HTTP {status}"
    return kind(status, said.reason or "Unknown", message, retry_after_s=_retry_after_s(headers))


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Read Retry-After; the API server gives seconds (RFC 9110 §10.2.3 also allows a date)."""
    text = headers.get("Retry-After", "")
    with contextlib.suppress(ValueError):
        seconds = float(int(text))
        return min(max(seconds, 0.0), RETRY_AFTER_MAX_S)
    return None

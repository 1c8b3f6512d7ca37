"""May the bearer of this token read that path? The API server decides, by its two reviews.

Answers are kept for a short while, in a bounded cache keyed by a digest of the token, so that a
scraper does not cost two requests per scrape and no token stays in memory. A failure to ask is not
an answer and is not kept.
"""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING

import msgspec

from mercurylb.errors import KubeError, WireError
from mercurylb.kube.report import SILENCE, Log
from mercurylb.kube.resource import Identity, Resource

if TYPE_CHECKING:
    from collections.abc import Callable

    from mercurylb.kube.client import KubeClient

ALLOWED_S = 60.0
REFUSED_S = 10.0
"""Shorter, so that a role just granted works soon."""
CACHE_MAX = 256

OK = 200
UNAUTHENTICATED = 401
FORBIDDEN = 403
FAILED = 500


class _User(msgspec.Struct, frozen=True):
    username: str = ""
    uid: str = ""
    groups: tuple[str, ...] | None = None
    extra: dict[str, tuple[str, ...]] | None = None


class _Status(msgspec.Struct, frozen=True):
    authenticated: bool = False
    allowed: bool = False
    user: _User = _User()


class Review(msgspec.Struct, frozen=True):
    """The answer to either review."""

    metadata: Identity = Identity()
    status: _Status = _Status()


TOKEN_REVIEWS = Resource(
    "authentication.k8s.io", "v1", "tokenreviews", "TokenReview", Review, namespaced=False
)
ACCESS_REVIEWS = Resource(
    "authorization.k8s.io",
    "v1",
    "subjectaccessreviews",
    "SubjectAccessReview",
    Review,
    namespaced=False,
)


class AccessReviewer:
    """Asks whether tokens may `get` one non-resource path."""

    def __init__(
        self,
        client: KubeClient,
        *,
        path: str = "/metrics",
        log: Log = SILENCE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.log = log
        self._client = client
        self._path = path
        self._clock = clock
        self._known: dict[bytes, tuple[float, int]] = {}

    async def status_of(self, token: str) -> int:
        """Give the HTTP status a request with this token deserves: 200, 401, 403, or 500."""
        key = hashlib.sha256(token.encode()).digest()
        until, status = self._known.get(key, (0.0, 0))
        if status and self._clock() < until:
            return status
        try:
            status = await self._review(token)
        except (KubeError, WireError) as error:
            self.log.warning("kube.access_review_failed", path=self._path, reason=str(error))
            return FAILED
        self._remember(key, status)
        return status

    async def _review(self, token: str) -> int:
        asked = _body(TOKEN_REVIEWS, {"token": token})
        identified = (await self._client.create(TOKEN_REVIEWS, asked)).status
        if not identified.authenticated:
            return UNAUTHENTICATED
        user = identified.user
        spec: dict[str, object] = {
            "user": user.username,
            "uid": user.uid,
            "groups": user.groups or (),
            "extra": user.extra or {},
            "nonResourceAttributes": {"path": self._path, "verb": "get"},
        }
        asked = _body(ACCESS_REVIEWS, spec)
        allowed = (await self._client.create(ACCESS_REVIEWS, asked)).status.allowed
        return OK if allowed else FORBIDDEN

    def _remember(self, key: bytes, status: int) -> None:
        self._known.pop(key, None)
        while len(self._known) >= CACHE_MAX:
            del self._known[next(iter(self._known))]
        lifetime_s = ALLOWED_S if status == OK else REFUSED_S
        self._known[key] = (self._clock() + lifetime_s, status)


def _body(resource: Resource[Review], spec: dict[str, object]) -> dict[str, object]:
    return {"apiVersion": resource.api_version, "kind": resource.kind, "spec": spec}

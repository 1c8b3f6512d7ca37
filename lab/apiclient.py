"""A tiny JSON client for the lab's API server, for what the lab itself registers.

It keeps one TLS connection, made inside the control plane's namespace, so registering objects costs
a millisecond instead of a kubectl run.  Tests that want what a user sees use ``Lab.kubectl``.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from contextlib import nullcontext
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from lab import netns
from lab.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class ApiClient:
    """One keep-alive connection to an API server; not for use by several threads."""

    def __init__(  # noqa: PLR0913  (who, where, from where)
        self,
        netns_name: str | None,
        address: str,
        port: int,
        pki: Path,
        identity: str,
        *,
        timeout_s: float = 30.0,
    ) -> None:
        self._netns = netns_name
        self._timeout_s = timeout_s
        self._address = address
        self._port = port
        self._context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        self._context.load_cert_chain(pki / f"{identity}.crt", pki / f"{identity}.key")
        self._connection: http.client.HTTPConnection | None = None

    def get(self, path: str) -> Any:  # noqa: ANN401  (JSON)
        """Read an object or a list."""
        return self.request("GET", path)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:  # noqa: ANN401  (JSON)
        """Create an object."""
        return self.request("POST", path, body)

    def create(self, path: str, body: Mapping[str, Any]) -> None:
        """Create an object unless it exists already."""
        try:
            self.post(path, body)
        except ApiError as refused:
            if refused.status != HTTPStatus.CONFLICT or refused.reason != "AlreadyExists":
                raise

    def merge(self, path: str, patch: Mapping[str, Any]) -> Any:  # noqa: ANN401  (JSON)
        """Patch an object or a subresource of it."""
        return self.request("PATCH", path, patch)

    def delete(self, path: str) -> None:
        """Delete an object at once; a missing one is fine."""
        try:
            self.request("DELETE", path + "?gracePeriodSeconds=0")
        except ApiError as refused:
            if refused.status != HTTPStatus.NOT_FOUND:
                raise

    def is_ready(self) -> bool:
        """Tell whether the server calls itself ready."""
        try:
            return bool(self._exchange("GET", "/readyz", None)[0] == HTTPStatus.OK)
        except (OSError, http.client.HTTPException):
            return False

    def close(self) -> None:
        """Close the connection; the next request makes a new one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def request(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:  # noqa: ANN401  (JSON)
        """Send one request and return the decoded answer; ApiError for anything but 2xx."""
        try:
            status, raw = self._exchange(method, path, body)
        except (OSError, http.client.HTTPException):
            # A kept connection may have been closed by a restarted server: once more, afresh.
            status, raw = self._exchange(method, path, body)
        try:
            answer = json.loads(raw) if raw else {}
        except ValueError:
            answer = raw.decode(errors="replace")
        if status >= HTTPStatus.MULTIPLE_CHOICES:
            raise ApiError(status, answer, f"{method} {path}")
        return answer

    def _exchange(
        self, method: str, path: str, body: Mapping[str, Any] | None
    ) -> tuple[int, bytes]:
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        try:
            if self._connection is None:
                self._connection = self._connect()
            self._connection.request(
                method,
                path,
                body=None if body is None else json.dumps(body),
                headers={"Content-Type": kind, "Accept": "application/json"},
            )
            answer = self._connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            self.close()
            raise

    def _connect(self) -> http.client.HTTPConnection:
        with netns.inside(self._netns) if self._netns else nullcontext():
            plain = socket.create_connection((self._address, self._port), self._timeout_s)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = http.client.HTTPConnection(self._address, self._port)
        connection.sock = self._context.wrap_socket(plain, server_hostname=self._address)
        return connection

"""A host of the lab as a test sees it: run something there, fetch something from there."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from lab import netns

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Mapping, Sequence

    from lab.process import Process
    from lab.site import Site


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What a web server answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    took_s: float

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode(errors="replace")

    def json(self) -> Any:  # noqa: ANN401  (JSON)
        """Decode the body as JSON."""
        return json.loads(self.body)


class Host:
    """One host of a running lab."""

    def __init__(self, site: Site, name: str, ipv4: str = "", ipv6: str = "") -> None:
        self._site = site
        self.name = name
        self.ipv4 = ipv4
        self.ipv6 = ipv6

    @property
    def namespace(self) -> str:
        """The host's network namespace."""
        return self._site.namespace(self.name)

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: str | None = None,
        timeout_s: float = 30.0,
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program on the host to its end; CommandError when it fails and ``check`` holds."""
        whole = [*self._site.enter_argv(self.name), *argv]
        return netns.command(whole, stdin=stdin, timeout_s=timeout_s, check=check)

    def start(
        self, name: str, argv: Sequence[str], *, env: dict[str, str] | None = None
    ) -> Process:
        """Start a long-lived process in the host's network namespace."""
        return self._site.start(name, self.name, list(argv), env=env)

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Make sockets that belong to the host."""
        with netns.inside(self.namespace):
            yield

    def connect(self, address: str, port: int, timeout_s: float = 2.0) -> socket.socket:
        """Open a TCP connection from the host."""
        with self.inside():
            return socket.create_connection((address, port), timeout=timeout_s)

    def http_get(
        self,
        url: str,
        *,
        timeout_s: float = 2.0,
        headers: Mapping[str, str] | None = None,
        address: str | None = None,
    ) -> HttpAnswer:
        """Fetch a page on a new connection; certificates are not checked.

        The URL's host is an address, or a name together with the ``address`` to use for it.
        """
        parts = urlsplit(url)
        name = parts.hostname or ""
        port = parts.port or (443 if parts.scheme == "https" else 80)
        begin = time.monotonic()
        plain = self.connect(address or name, port, timeout_s)
        connection = http.client.HTTPConnection(name, port, timeout=timeout_s)
        try:
            connection.sock = _wrap(plain, name) if parts.scheme == "https" else plain
            path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            connection.request("GET", path, headers=dict(headers or {}))
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
            plain.close()
        took = time.monotonic() - begin
        return HttpAnswer(answer.status, dict(answer.getheaders()), body, took)

    def udp_ask(
        self, address: str, port: int, payload: bytes = b"?", *, timeout_s: float = 1.0
    ) -> bytes:
        """Send one datagram and return the answer; TimeoutError when none comes."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with self.inside():
            channel = socket.socket(family, socket.SOCK_DGRAM)
        with channel:
            channel.settimeout(timeout_s)
            channel.connect((address, port))
            channel.send(payload)
            return channel.recv(65535)


def _wrap(plain: socket.socket, name: str) -> ssl.SSLSocket:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(plain, server_hostname=name)

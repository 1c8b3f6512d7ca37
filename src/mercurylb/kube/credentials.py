"""How we present ourselves to the API server, and how we know it.

Order of sources, as controller-runtime has it: the file that `KUBECONFIG` names, the pod's service
account, `~/.kube/config`.

A service-account token rotates on disk (the kubelet renews it hourly or so): its file is looked at
again every minute, and at once after a 401. A kubeconfig is read by `kubeconfig_child` in a
process of its own: the library that understands such files costs 20 MB of memory, and a daemon
needs it once. Tokens of exec plugins are renewed the same way when they expire.

Secrets never appear in a `repr`, a log line or an exception, and client keys never touch a disk.
"""

from __future__ import annotations

import asyncio
import base64
import os
import ssl
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec

from mercurylb.errors import Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SERVICE_ACCOUNT_DIR = Path("/var/run/secrets/kubernetes.io/serviceaccount")
TOKEN_CHECK_INTERVAL_S = 60.0
CHILD_TIMEOUT_S = 60.0
_EXPIRY_MARGIN_S = 30.0
_RENEWAL_INTERVAL_MIN_S = 20.0


class Credentials(Protocol):
    """What a client needs to know."""

    @property
    def server(self) -> str:
        """Give the base URL of the API server."""

    def ssl_context(self) -> ssl.SSLContext | None:
        """Make a TLS context; None for plain HTTP."""

    async def authorization(self) -> str:
        """Give the value of the Authorization header; empty for none."""

    async def renew(self) -> bool:
        """Read the source again after a 401; tell whether there is something new to try."""

    def namespace(self) -> str | None:
        """Give our namespace, if the source says."""


async def load_credentials(
    environ: Mapping[str, str], *, service_account_dir: Path = SERVICE_ACCOUNT_DIR
) -> Credentials:
    """Find credentials; raise Unreachable, saying where was looked, when there are none."""
    named = environ.get("KUBECONFIG", "")
    if named:
        return await KubeconfigCredentials.load(named)
    if environ.get("KUBERNETES_SERVICE_HOST") and _is_file(service_account_dir / "token"):
        return ServiceAccountCredentials(environ, service_account_dir)
    home = Path(environ.get("HOME", "/"), ".kube", "config")
    if _is_file(home):
        return await KubeconfigCredentials.load(str(home))
    raise Unreachable(
        "no credentials for the Kubernetes API: KUBECONFIG is not set, there is no service account "
        f"in {service_account_dir}, and {home} does not exist"
    )


def _is_file(path: Path) -> bool:
    return path.is_file()


class ServiceAccountCredentials:
    """The pod's own account."""

    def __init__(
        self,
        environ: Mapping[str, str],
        directory: Path = SERVICE_ACCOUNT_DIR,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        host = environ["KUBERNETES_SERVICE_HOST"]
        port = environ.get("KUBERNETES_SERVICE_PORT", "443")
        self._server = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
        self._directory = directory
        self._clock = clock
        self._token = ""
        self._checked_at = -TOKEN_CHECK_INTERVAL_S

    @property
    def server(self) -> str:
        """Give the base URL of the API server."""
        return self._server

    def ssl_context(self) -> ssl.SSLContext | None:
        """Make a TLS context that trusts the cluster's CA only."""
        try:
            return _context(ca_pem=(self._directory / "ca.crt").read_text())
        except (OSError, ValueError) as error:
            raise Unreachable(f"{self._directory}/ca.crt cannot be used: {error}") from error

    async def authorization(self) -> str:
        """Give the bearer token, read from disk at most a minute ago."""
        now = self._clock()
        if now - self._checked_at >= TOKEN_CHECK_INTERVAL_S:
            self._checked_at = now
            self._read_token()
        return f"Bearer {self._token}"

    async def renew(self) -> bool:
        """Read the token's file now."""
        before = self._token
        self._read_token()
        return self._token != before

    def namespace(self) -> str | None:
        """Give the pod's namespace."""
        return read_namespace(self._directory)

    def _read_token(self) -> None:
        try:
            self._token = (self._directory / "token").read_text().strip()
        except (OSError, ValueError) as error:
            # A token that worked a minute ago is better than none while the kubelet swaps files.
            if not self._token:
                raise Unreachable(f"{self._directory}/token cannot be read: {error}") from error


def read_namespace(directory: Path = SERVICE_ACCOUNT_DIR) -> str | None:
    """Read the namespace a pod runs in from its service account, if it has one."""
    try:
        return (directory / "namespace").read_text().strip() or None
    except (OSError, ValueError):
        return None


class Resolved(msgspec.Struct, frozen=True):
    """A kubeconfig boiled down to one server and one user; texts are contents, not paths."""

    server: str
    ca: str = ""
    is_insecure: bool = False
    certificate: str = ""
    key: str = ""
    token: str = ""
    token_file: str = ""
    username: str = ""
    password: str = ""
    namespace: str = ""
    expires_in_s: float | None = None

    def __repr__(self) -> str:
        return f"Resolved({self.server!r}, …)"


class KubeconfigCredentials:
    """The current context of a kubeconfig file."""

    def __init__(
        self, path: str, resolved: Resolved, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._path = path
        self._clock = clock
        self._resolved = resolved
        self._renewing = asyncio.Lock()
        self._expires_at = self._expiry(resolved)
        self._renewed_at = clock()

    @classmethod
    async def load(cls, path: str) -> KubeconfigCredentials:
        """Read the file; raise Unreachable with the reason when it cannot be used."""
        return cls(path, await _resolve(path))

    @property
    def server(self) -> str:
        """Give the base URL of the API server."""
        return self._resolved.server

    def ssl_context(self) -> ssl.SSLContext | None:
        """Make a TLS context with the file's CA and client certificate."""
        known = self._resolved
        if not known.server.startswith("https:"):
            return None
        try:
            context = _context(ca_pem=known.ca)
            if known.is_insecure:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            if known.certificate:
                _load_client_certificate(context, known.certificate + "\n" + known.key)
        except (OSError, ValueError) as error:
            raise Unreachable(f"{self._path}: the certificates cannot be used: {error}") from error
        return context

    async def authorization(self) -> str:
        """Give the header's value, renewed when an exec plugin's token has run out."""
        if self._expires_at is not None and self._clock() >= self._expires_at:
            await self.renew()
        known = self._resolved
        if known.token:
            return f"Bearer {known.token}"
        if known.username:
            pair = f"{known.username}:{known.password}".encode()
            return "Basic " + base64.b64encode(pair).decode()
        return ""

    async def renew(self) -> bool:
        """Read the file again, and ask the exec plugin again if it names one."""
        before = self._resolved
        async with self._renewing:
            if self._resolved is not before:
                return True
            # A server that refuses us for good must not make us start a child per request.
            if self._clock() - self._renewed_at < _RENEWAL_INTERVAL_MIN_S:
                return False
            self._renewed_at = self._clock()
            self._resolved = await _resolve(self._path)
            self._expires_at = self._expiry(self._resolved)
        return _secrets(self._resolved) != _secrets(before)

    def namespace(self) -> str | None:
        """Give the context's namespace."""
        return self._resolved.namespace or None

    def _expiry(self, resolved: Resolved) -> float | None:
        if resolved.expires_in_s is None:
            return None
        return self._clock() + max(
            resolved.expires_in_s - _EXPIRY_MARGIN_S, _RENEWAL_INTERVAL_MIN_S
        )


def _secrets(resolved: Resolved) -> tuple[str, ...]:
    return resolved.token, resolved.username, resolved.password


async def _resolve(path: str) -> Resolved:
    """Run the child; its last line on standard error is the reason when it fails."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "mercurylb.kube.kubeconfig_child",
        path,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(CHILD_TIMEOUT_S):
            printed, complaint = await child.communicate()
    except TimeoutError as error:
        raise Unreachable(f"{path}: reading it took more than {CHILD_TIMEOUT_S} s") from error
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode != 0:
        lines = complaint.decode(errors="replace").strip().splitlines() or ["no reason given"]
        raise Unreachable(f"{path}: {lines[-1]}")
    try:
        return msgspec.json.decode(printed, type=Resolved)
    except msgspec.MsgspecError as error:
        raise Unreachable(f"{path}: unexpected answer of the reader") from error


def _context(*, ca_pem: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=ca_pem or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Python 3.13 demands an authority key identifier, which clusters made by older tools lack and
    # which neither Go's TLS nor RFC 8446 demands.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def _load_client_certificate(context: ssl.SSLContext, pem: str) -> None:
    """Load certificate and key through a nameless file in memory: the ssl module wants a path."""
    descriptor = os.memfd_create("client-certificate", os.MFD_CLOEXEC)
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem.encode())
        file.flush()
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")

"""The metrics server's certificate: from a directory, reloaded when it changes, or self-signed.

A secret mounted into a pod changes by a symbolic link being swapped, so the files are looked at by
their identity and time every few seconds. A pair that cannot be used is refused with a log line
that says why, and the certificate in use stays: the one before, or at the start a self-signed one.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import ssl
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mercurylb.telemetry import logs as log
from mercurylb.telemetry.validity import not_after

if TYPE_CHECKING:
    from collections.abc import Sequence

CERTIFICATE_NAMES = ("tls.crt", "tls.key")
POLL_INTERVAL_S = 5.0
_CHILD_TIMEOUT_S = 60.0
_Stamp = tuple[tuple[int, int, int], ...]


class CertificateDir:
    """Certificate and key in a directory."""

    def __init__(self, path: str, *, names: tuple[str, str] = CERTIFICATE_NAMES) -> None:
        self._files = (Path(path, names[0]), Path(path, names[1]))
        self._seen: _Stamp | None = None
        self._is_loaded = False
        self._refused = ""
        self._expired: _Stamp | None = None

    def load_into(self, context: ssl.SSLContext) -> bool:
        """Load the pair if it changed since the last call; tell whether one of its pairs is in use.

        New connections use it at once, those that stand keep what they have. The same refusal is
        said once.
        """
        try:
            stamp = _stamp(self._files)
            if stamp != self._seen:
                self._seen = stamp
                self._load(context)
                log.info("metrics.certificate_loaded", path=str(self._files[0].parent))
                self._is_loaded, self._refused = True, ""
            self._note_expiry()
        except (OSError, ValueError) as error:
            self._say_refused(_reason(error, *self._files))
        return self._is_loaded

    def _load(self, context: ssl.SSLContext) -> None:
        certificate, key = map(str, self._files)
        # Tried apart first: a pair that does not fit would leave the real context half changed.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
        context.load_cert_chain(certificate, key)

    def _note_expiry(self) -> None:
        """Say once that a certificate has expired; it stays in use, there is no better one."""
        if not self._is_loaded or self._expired == self._seen:
            return
        try:
            end = not_after(self._files[0].read_text())
        except ValueError:
            return  # OpenSSL took it, so it is a certificate: we cannot tell its end, that is all.
        if end < dt.datetime.now(dt.UTC):
            self._expired = self._seen
            log.error(
                "metrics.certificate_expired",
                msg="it is served all the same",
                path=str(self._files[0]),
                expired=end.isoformat(),
                todo="renew the secret; it is reloaded by itself",
            )

    def _say_refused(self, reason: str) -> None:
        if reason == self._refused:
            return
        self._refused = reason
        log.error(
            "metrics.certificate_refused",
            msg="the one in use stays" if self._is_loaded else "a self-signed one is served",
            path=str(self._files[0].parent),
            error=reason,
            todo="correct the secret; it is reloaded by itself",
        )

    async def run(self, context: ssl.SSLContext) -> None:
        """Keep the context's certificate that of the directory until cancelled."""
        while True:
            await asyncio.sleep(POLL_INTERVAL_S)
            self.load_into(context)


async def load_self_signed(context: ssl.SSLContext) -> None:
    """Make a certificate in a child process and load it; raise OSError when that fails."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "mercurylb.telemetry.selfsigned",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(_CHILD_TIMEOUT_S):
            pem, _ = await child.communicate()
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode != 0:
        raise OSError("no self-signed certificate could be made")
    load_pem(context, pem)


def load_pem(context: ssl.SSLContext, pem: bytes) -> None:
    """Load certificate and key through a nameless file in memory: the ssl module wants a path."""
    descriptor = os.memfd_create("server-certificate", os.MFD_CLOEXEC)
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
        file.flush()
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")


def _reason(error: Exception, certificate: Path, key: Path) -> str:
    """Say what is wrong with a pair in words that name the file."""
    if isinstance(error, FileNotFoundError):
        return f"{Path(str(error.filename)).name} is missing"
    if isinstance(error, ssl.SSLError) and error.reason == "KEY_VALUES_MISMATCH":
        return f"{key.name} is not the key of {certificate.name}"
    if isinstance(error, ssl.SSLError):
        return f"{certificate.name} or {key.name} is not PEM: {error.reason or error}"
    return str(error)


def _stamp(files: Sequence[Path]) -> _Stamp:
    stats = [file.stat() for file in files]
    return tuple((stat.st_ino, stat.st_mtime_ns, stat.st_size) for stat in stats)

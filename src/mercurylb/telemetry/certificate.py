"""The metrics server's certificate: from a directory, reloaded when it changes, or self-signed.

A secret mounted into a pod changes by a symbolic link being swapped, so the files are looked at by
their identity and time every few seconds. A new pair that does not fit together is refused with a
log line and the old one stays.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mercurylb.telemetry import logs as log

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
        self._loaded: _Stamp | None = None

    @property
    def exists(self) -> bool:
        """Tell whether both files are there."""
        return all(file.is_file() for file in self._files)

    def load_into(self, context: ssl.SSLContext) -> bool:
        """Load the pair if it changed since the last call; tell whether it is in use now.

        New connections use it at once, those that stand keep what they have.
        """
        try:
            stamp = _stamp(self._files)
            if stamp == self._loaded:
                return True
            self._loaded = stamp
            certificate, key = map(str, self._files)
            # Tried apart first: a pair that does not fit would leave the real context half changed.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
            context.load_cert_chain(certificate, key)
        except (OSError, ValueError) as error:
            log.error(
                "metrics.certificate_refused",
                msg="the certificate in use stays",
                path=str(self._files[0].parent),
                error=error,
            )
            return False
        log.info("metrics.certificate_loaded", path=str(self._files[0].parent))
        return True

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


def _stamp(files: Sequence[Path]) -> _Stamp:
    stats = [file.stat() for file in files]
    return tuple((stat.st_ino, stat.st_mtime_ns, stat.st_size) for stat in stats)

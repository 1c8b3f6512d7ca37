"""With rotation off: the certificate somebody else keeps in a directory."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mercurylb.telemetry import logs as log

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

DEFAULT_DIR: Final = "/tmp/k8s-webhook-server/serving-certs"  # noqa: S108 (the original's)
POLL_INTERVAL_S: Final = 2.0
FILE_BYTES_MAX: Final = 1_048_576


class CertificateFiles:
    """`tls.crt` and `tls.key` in the first of several directories that has both."""

    def __init__(
        self,
        directories: Sequence[str],
        *,
        serve: Callable[[bytes], None],
        poll_interval_s: float = POLL_INTERVAL_S,
    ) -> None:
        self.problem = ""
        self._directories = list(dict.fromkeys(directories))
        self._serve = serve
        self._poll_interval_s = poll_interval_s
        self._pair = b""

    async def run(self) -> None:
        """Serve what the files hold, whenever it changed, until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(self._poll_interval_s)

    def look(self) -> None:
        """Serve the files' pair unless it is in use already; a pair that does not fit is not."""
        try:
            pair = self._read()
            if pair == self._pair:
                return
            self._pair = pair
            self._serve(pair)
        except (OSError, ValueError) as error:
            self._complain(f"the certificate in {self._directories[0]} cannot be used: {error}")
            return
        self.problem = ""
        log.info("webhook.certificate_loaded", path=self._directories[0])

    def _read(self) -> bytes:
        files = [
            (Path(directory, "tls.crt"), Path(directory, "tls.key"))
            for directory in self._directories
        ]
        certificate, key = next(
            (pair for pair in files if all(file.is_file() for file in pair)), files[0]
        )
        return _content(certificate).rstrip() + b"\n" + _content(key)

    def _complain(self, problem: str) -> None:
        if problem != self.problem:
            self.problem = problem
            log.error("webhook.certificate_missing", msg=problem)


def _content(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(FILE_BYTES_MAX)

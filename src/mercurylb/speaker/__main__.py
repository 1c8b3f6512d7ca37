"""`mercurylb-speaker`: announces load-balancer IPs from this node.

This process becomes the announcer; what only the brain needs is imported in the brain.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from mercurylb import __version__
from mercurylb.announcer import run as announce
from mercurylb.errors import ConfigError
from mercurylb.speaker.settings import parse_settings
from mercurylb.speaker.start import StartError, announcer_settings, tell_start
from mercurylb.telemetry import logs as log

if TYPE_CHECKING:
    import socket


def main() -> None:
    """Parse the command line, run, and exit."""
    settings = parse_settings(sys.argv[1:], os.environ)
    log.configure(log.parse_level(settings.log_level) or log.Level.INFO)
    log.info("speaker.starting", version=__version__)
    if settings.shadow:
        from mercurylb.speaker.shadow import run as watch  # noqa: PLC0415 (needs no announcer)

        sys.exit(watch(settings))
    try:
        told = announcer_settings(settings, os.environ)
        tell_start(settings, told, os.environ)
    except (ConfigError, StartError) as error:
        log.error("speaker.start_refused", error=str(error))
        sys.exit(1)

    def brain(sock: socket.socket) -> int:
        from mercurylb.speaker.brain import run  # noqa: PLC0415 (the announcer needs none of it)

        return run(settings, sock)

    sys.exit(announce(told, brain))


if __name__ == "__main__":
    main()

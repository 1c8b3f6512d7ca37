"""`mercurylb-speaker`: announces load-balancer IPs from this node.

This process becomes the announcer; what only the brain needs is imported in the brain.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mercurylb.announcer import AnnouncerSettings, MembershipSettings
from mercurylb.announcer import run as announce
from mercurylb.errors import ConfigError
from mercurylb.speaker.exclusion import load_exclusions
from mercurylb.speaker.settings import SpeakerSettings, parse_settings

if TYPE_CHECKING:
    import socket

SECRET_FILE = "secretkey"  # noqa: S105 (a file's name)


def main() -> None:
    """Parse the command line, run, and exit."""
    settings = parse_settings(sys.argv[1:], os.environ)
    try:
        announcer_settings = _announcer_settings(settings)
    except (ConfigError, OSError) as error:
        sys.exit(f"mercurylb-speaker: {error}")

    def brain(sock: socket.socket) -> int:
        from mercurylb.speaker.brain import run  # noqa: PLC0415 (the announcer needs none of it)

        return run(settings, sock)

    sys.exit(announce(announcer_settings, brain))


def _announcer_settings(settings: SpeakerSettings) -> AnnouncerSettings:
    if not settings.node_name:
        message = "--node-name (or METALLB_NODE_NAME) must say which node this is"
        raise OSError(message)
    membership = None
    if settings.has_membership:
        membership = MembershipSettings(
            bind_address=settings.ml_bindaddr,
            bind_port=settings.ml_bindport,
            secret=_read_secret(settings.ml_secret_key_path),
        )
    return AnnouncerSettings(
        node=settings.node_name,
        membership=membership,
        excluded_interfaces=load_exclusions(),
        gratuitous_interval_s=settings.gratuitous_arp_interval,
        log_level=settings.log_level,
    )


def _read_secret(path: str) -> bytes:
    """Read the membership's key; the flag names the secret's directory, or the file."""
    if not path:
        return b""
    file = Path(path)
    return (file / SECRET_FILE if file.is_dir() else file).read_bytes()


if __name__ == "__main__":
    main()

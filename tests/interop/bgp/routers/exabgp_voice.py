"""The program that ExaBGP runs: keeps what it is told in a file, and says what a pipe says.

`exabgp_voice.py EVENTS COMMANDS`
"""

from __future__ import annotations

import os
import select
import sys


def main() -> None:
    """Copy until ExaBGP goes away."""
    events = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    commands = os.open(sys.argv[2], os.O_RDWR)
    while True:
        ready, _, _ = select.select([0, commands], [], [])
        if 0 in ready:
            content = os.read(0, 1 << 20)
            if not content:
                return
            os.write(events, content)
        if commands in ready:
            os.write(1, os.read(commands, 1 << 16))


if __name__ == "__main__":
    main()

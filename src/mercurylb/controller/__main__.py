"""`mercurylb-controller`: gives addresses to services of type LoadBalancer."""

from __future__ import annotations

import os
import sys

from mercurylb.controller.settings import parse_settings


def main() -> None:
    """Parse the command line, run, and exit."""
    settings = parse_settings(sys.argv[1:], os.environ)
    from mercurylb.controller.app import run  # noqa: PLC0415 (`--help` needs none of it)

    sys.exit(run(settings))


if __name__ == "__main__":
    main()

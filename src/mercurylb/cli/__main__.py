"""`mercurylb`: the operator's command."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from mercurylb import __version__

if TYPE_CHECKING:
    import click

_MISSING = "mercurylb: the operator's command needs an extra: pip install 'mercurylb[cli]'"


def main() -> None:
    """Run the command; exit 0 when it worked, 1 when it failed, 2 when it was called wrongly."""
    try:
        import click  # noqa: F401, PLC0415 (an extra: say so when it is missing)
    except ImportError:
        sys.exit(_MISSING)
    command()(prog_name="mercurylb")


def command() -> click.Group:
    """Give the command with all its subcommands; none of them imports more than click yet."""
    import click  # noqa: PLC0415 (an extra)

    from mercurylb.cli.bgp import bgp  # noqa: PLC0415 (need click)
    from mercurylb.cli.explain import explain  # noqa: PLC0415
    from mercurylb.cli.migrate import migrate  # noqa: PLC0415
    from mercurylb.cli.options import EXIT_CODES  # noqa: PLC0415
    from mercurylb.cli.plan import plan  # noqa: PLC0415
    from mercurylb.cli.snapshot import snapshot  # noqa: PLC0415
    from mercurylb.cli.validate import validate  # noqa: PLC0415
    from mercurylb.cli.verify import verify  # noqa: PLC0415
    from mercurylb.cli.who import who  # noqa: PLC0415

    @click.group(epilog=EXIT_CODES)
    @click.version_option(__version__, prog_name="mercurylb")
    def mercurylb() -> None:
        """Ask MercuryLB why things are as they are, and what would be if.

        The cluster is found as kubectl finds it: KUBECONFIG, the pod's service account, then
        ~/.kube/config. Colours are for terminals only, and NO_COLOR turns them off.

        Shell completion: eval "$(_MERCURYLB_COMPLETE=bash_source mercurylb)", or zsh_source,
        fish_source.
        """

    for each in (explain, who, bgp, verify, validate, plan, snapshot, migrate):
        mercurylb.add_command(each)
    return mercurylb


if __name__ == "__main__":
    main()

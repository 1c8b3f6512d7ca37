"""`mercurylb plan`: what a change of the configuration would do, before it is made."""

from __future__ import annotations

import sys

import click

from mercurylb.cli.options import (
    PROBLEM,
    failing_plainly,
    lb_class_option,
    namespace_option,
    output_option,
    say,
    snapshot_option,
    telling,
)

CHANGES = 3
"""Exit code for changes, if asked for."""


@click.command(
    epilog="Exit codes: 0 fine, 1 the new configuration has problems or it failed, 2 called"
    " wrongly; with --detailed-exitcode 3 if any service would change."
)
@click.option(
    "--filename",
    "-f",
    "paths",
    multiple=True,
    type=click.Path(allow_dash=True),
    help="New or changed objects: a file, a directory, or -; may be repeated.",
)
@click.option("--replace", is_flag=True, help="The files are the whole configuration.")
@click.option(
    "--delete",
    "deleted",
    multiple=True,
    metavar="KIND/NAME",
    help="An object that would be deleted, such as IPAddressPool/main; may be repeated.",
)
@click.option("--detailed-exitcode", is_flag=True, help="Exit with 3 if any service would change.")
@snapshot_option
@namespace_option
@lb_class_option
@output_option("text", "json", "yaml")
@failing_plainly
def plan(  # noqa: PLR0913 (one per option)
    *,
    paths: tuple[str, ...],
    replace: bool,
    deleted: tuple[str, ...],
    detailed_exitcode: bool,
    snapshot: str | None,
    namespace: str,
    lb_class: str | None,
    output: str,
) -> None:
    """Tell what other configuration would do to the services of a cluster.

    The objects in the files are laid over those of the cluster (or of a snapshot), and all
    decisions are made again: which services would change their address, lose it or get one, and
    what is wrong with the new configuration. Nothing is changed.
    """
    from mercurylb.cli import changes  # noqa: PLC0415 (`--help` is quick)
    from mercurylb.cli.loading import load_inventory  # noqa: PLC0415

    if not paths and not deleted:
        raise click.UsageError("nothing would change: give -f or --delete")
    present, has_pods = load_inventory(snapshot)
    with telling("deciding"):
        preview = changes.preview(
            present,
            changes.read_edit(paths, deleted=deleted, is_replacing=replace),
            namespace=namespace,
            lb_class=lb_class,
            has_pods=has_pods,
        )
    if output == "text":
        for kind, line in changes.to_lines(preview):
            say(line, kind)
    else:
        changes.print_as(output, preview)
    if preview.problems:
        sys.exit(PROBLEM)
    if detailed_exitcode and preview.changed:
        sys.exit(CHANGES)

"""`mercurylb who`: asks the wire who answers for an address, and tells whether that is right."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Final

import click

from mercurylb.cli.options import (
    FINE,
    PROBLEM,
    failing_plainly,
    lb_class_option,
    namespace_option,
    output_option,
    say,
    snapshot_option,
)

if TYPE_CHECKING:
    from mercurylb.plan.snapshot import Snapshot

NOBODY: Final = 3
WHO_EXIT_CODES: Final = (
    "Exit codes: 0 fine, 1 the wrong one answers, or several, or it failed, 2 called wrongly,"
    " 3 nobody answers."
)
_MAC: Final = re.compile(r"[0-9A-Fa-f]{2}([:-][0-9A-Fa-f]{2}){5}")
_SECONDS: Final = click.FloatRange(0.05, 60.0)


def _nodes(
    context: click.Context, option: click.Parameter, values: tuple[str, ...]
) -> dict[str, str]:
    """Read NODE=MAC pairs."""
    del context
    pairs = {}
    for value in values:
        name, separator, mac = value.partition("=")
        if not name or not separator or not _MAC.fullmatch(mac):
            raise click.BadParameter(f"{value!r} is not like n1=02:00:00:00:00:01", param=option)
        pairs[name] = mac
    return pairs


@click.command(epilog=WHO_EXIT_CODES)
@click.argument("address")
@click.option("--interface", "-i", "interfaces", multiple=True, help="Ask here only; repeatable.")
@click.option(
    "--timeout",
    "timeout_s",
    type=_SECONDS,
    default=1.0,
    show_default=True,
    help="Seconds to listen.",
)
@click.option(
    "--count",
    type=click.IntRange(1, 100),
    default=3,
    show_default=True,
    help="How often to ask, in the first half of that time.",
)
@click.option(
    "--node",
    "nodes",
    metavar="NODE=MAC",
    multiple=True,
    callback=_nodes,
    help="A node's MAC address, where the node itself cannot be asked; repeatable.",
)
@click.option("--no-cluster", is_flag=True, help="Ask the wire only.")
@snapshot_option
@namespace_option
@lb_class_option
@output_option("text", "json")
@click.option("--json", "is_json", is_flag=True, help="The same as --output json.")
@failing_plainly
def who(  # noqa: PLR0913 (one argument per option)
    *,
    address: str,
    interfaces: tuple[str, ...],
    timeout_s: float,
    count: int,
    nodes: dict[str, str],
    no_cluster: bool,
    snapshot: str | None,
    namespace: str,
    lb_class: str | None,
    output: str,
    is_json: bool,
) -> None:
    """Ask the wire who answers for ADDRESS, and tell whether that is right.

    ARP or neighbour discovery is spoken on every interface in the address's network, so this needs
    root or the capability NET_RAW, on a machine of the nodes' network: best one that is no node,
    for a node does not hear its own questions. The nodes are asked for their own addresses too, and
    are known by the MAC address they answer with. Which node is to answer is read from the cluster,
    or from a snapshot; without either only the wire is told.
    """
    from mercurylb.cli.looking import look  # noqa: PLC0415 (`--help` is quick)
    from mercurylb.cli.options import telling  # noqa: PLC0415
    from mercurylb.cli.wire_text import to_builtins, to_lines  # noqa: PLC0415
    from mercurylb.errors import ParseError  # noqa: PLC0415
    from mercurylb.plan.hearing import AnswerCode  # noqa: PLC0415
    from mercurylb.values.address import parse_address  # noqa: PLC0415

    try:
        target = parse_address(address)
    except ParseError as error:
        raise click.BadParameter(str(error), param_hint="ADDRESS") from None
    picture = None
    if snapshot is not None or not no_cluster:
        picture = _picture(snapshot, namespace=namespace, lb_class=lb_class)
    with telling(f"asking for {target}"):
        report = look(
            target, picture, names=interfaces, given=nodes, count=count, timeout_s=timeout_s
        )
    if is_json or output == "json":
        from mercurylb.cli.report import pretty  # noqa: PLC0415

        click.echo(pretty(to_builtins(report)))
    else:
        import time  # noqa: PLC0415

        for kind, line in to_lines(report, now=time.time()):
            say(line, kind)
    if report.code is AnswerCode.NOBODY:
        sys.exit(NOBODY)
    sys.exit(FINE if report.is_fine else PROBLEM)


def _picture(file: str | None, *, namespace: str, lb_class: str | None) -> Snapshot | None:
    """Give the cluster or the snapshot; a cluster that cannot be asked is a warning."""
    from mercurylb.cli.loading import load_snapshot  # noqa: PLC0415 (`--help` is quick)
    from mercurylb.errors import KubeError  # noqa: PLC0415

    try:
        return load_snapshot(file, namespace=namespace, lb_class=lb_class)
    except KubeError as error:
        if file is not None:
            raise
        text = f"warning: without a cluster only the wire is told: {error}"
        say(text, "warning", to_stderr=True)
        return None

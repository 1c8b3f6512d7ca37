"""`mercurylb migrate`: from what was, to what is to be."""

from __future__ import annotations

import sys

import click

from mercurylb.cli.options import (
    EXIT_CODES,
    FINE,
    PROBLEM,
    failing_plainly,
    lb_class_option,
    namespace_option,
    output_option,
    say,
    snapshot_option,
)


@click.group(epilog=EXIT_CODES)
def migrate() -> None:
    """Move from MetalLB: what would change, and configuration of before 0.13."""


@migrate.command("configmap", epilog=EXIT_CODES)
@click.option(
    "-source",
    "--source",
    "-f",
    default="./config.yaml",
    show_default=True,
    type=click.Path(allow_dash=True),
    help="The ConfigMap's manifest; - is the standard input.",
)
@click.option(
    "-only-data", "--only-data", is_flag=True, help="The input is what data.config holds."
)
@click.option(
    "-stdout", "--stdout", is_flag=True, help="Write to the standard output (the default)."
)
@click.option(
    "--output", "-o", type=click.Path(allow_dash=True), default="-", help="Where to write."
)
@failing_plainly
def configmap(*, source: str, only_data: bool, stdout: bool, output: str) -> None:
    """Convert the ConfigMap that configured MetalLB before 0.13.

    Writes BGPPeers, IPAddressPools, advertisements, BFDProfiles and a Community, ready for `kubectl
    apply`. Nothing is written if anything is wrong; every problem is listed. Names that Kubernetes
    does not take are changed, which is told on standard error.
    """
    from mercurylb.cli.migration import migrate_configmap  # noqa: PLC0415 (`--help` is quick)

    text, renamed = migrate_configmap(source, is_only_data=only_data)
    for line in renamed:
        say(line, "warning", to_stderr=True)
    if stdout or output == "-":
        click.echo(text, nl=False)
    else:
        from mercurylb.cli.files import write_file  # noqa: PLC0415

        write_file(output, text.encode())


@migrate.command("check", epilog=EXIT_CODES)
@namespace_option
@lb_class_option
@snapshot_option
@output_option("text", "json")
@failing_plainly
def check(*, namespace: str, lb_class: str | None, snapshot: str | None, output: str) -> None:
    """Say what a move from the MetalLB that is installed would change, and what to do first.

    Looks at version, flags, backend, configuration, services and owners, and at what is in use
    that behaves otherwise. Everything is judged by the functions that would decide; nothing is
    changed. Warnings do not fail.
    """
    from mercurylb.cli.gathering import gather  # noqa: PLC0415 (`--help` is quick)
    from mercurylb.cli.loading import load_inventory  # noqa: PLC0415
    from mercurylb.cli.move import judge_move  # noqa: PLC0415
    from mercurylb.cli.verify_finding import (  # noqa: PLC0415
        has_problem,
        to_builtins,
        to_lines,
    )

    inventory, has_pods = load_inventory(snapshot)
    seen = gather(inventory, namespace=namespace, lb_class=lb_class, has_pods=has_pods)
    workloads = [item.raw for item in (*inventory.others, *inventory.items)]
    findings = judge_move(seen, workloads)
    home = seen.settings.namespace
    if output == "json":
        from mercurylb.cli.report import pretty  # noqa: PLC0415

        click.echo(pretty(to_builtins(home, findings)))
    else:
        for kind, line in to_lines(home, findings, verb="Compared"):
            say(line, kind)
    sys.exit(PROBLEM if has_problem(findings) else FINE)

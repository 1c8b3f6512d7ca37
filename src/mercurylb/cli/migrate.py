"""`mercurylb migrate`: from what was, to objects of today."""

from __future__ import annotations

import click

from mercurylb.cli.options import EXIT_CODES, failing_plainly, say


@click.group(epilog=EXIT_CODES)
def migrate() -> None:
    """Turn the configuration of other versions into objects of today."""


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

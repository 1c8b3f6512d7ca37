"""`mercurylb snapshot`: the cluster in one file, for somebody else to look at."""

from __future__ import annotations

import click

from mercurylb.cli.options import EXIT_CODES, failing_plainly, namespace_option, say, telling


@click.command(epilog=EXIT_CODES)
@click.option(
    "--output",
    "-o",
    "file",
    type=click.Path(allow_dash=True),
    default="-",
    help="Where to write: YAML by the suffix .yaml, else JSON; packed if it ends with .gz.",
)
@namespace_option
@failing_plainly
def snapshot(*, file: str, namespace: str) -> None:
    """Save everything that decisions read, to be explained elsewhere.

    Services, all kinds of metallb.io with their statuses, namespaces, nodes, endpoints, MercuryLB's
    pods, and events of pending services, as one list. Passwords, the values of secrets, and
    annotations that are not MercuryLB's are left out. With --namespace, pods, configuration and
    secrets of other namespaces are neither read nor saved. Read it with `explain` and `plan` by
    --snapshot.
    """
    import asyncio  # noqa: PLC0415 (`--help` is quick)

    from mercurylb.cli.cluster import fetch  # noqa: PLC0415
    from mercurylb.cli.files import write_file  # noqa: PLC0415
    from mercurylb.cli.packing import pack  # noqa: PLC0415

    with telling("reading the cluster"):
        cluster = asyncio.run(fetch(namespace=namespace))
    for warning in cluster.warnings:
        say(f"warning: {warning}", "warning", to_stderr=True)
    with telling(f"writing {file}"):
        write_file(file, pack(cluster.objects, is_yaml=".yaml" in file or ".yml" in file))
    if file != "-":
        say(f"{len(cluster.objects)} objects saved to {file}", "good", to_stderr=True)

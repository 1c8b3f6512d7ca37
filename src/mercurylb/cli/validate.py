"""`mercurylb validate`: what is wrong with manifests, before a cluster sees them."""

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
    telling,
)


@click.command(epilog=EXIT_CODES)
@click.option(
    "--filename",
    "-f",
    "paths",
    multiple=True,
    required=True,
    type=click.Path(allow_dash=True),
    help="A file, a directory, or - for the standard input; may be repeated.",
)
@click.option(
    "--recursive/--no-recursive",
    "-R",
    default=True,
    show_default=True,
    help="Look into directories of directories.",
)
@namespace_option
@click.option(
    "--backend",
    default="native",
    show_default=True,
    envvar="METALLB_BGP_TYPE",
    show_envvar=True,
    type=click.Choice(["native", "frr", "frr-k8s"]),
    help="Whose restrictions apply.",
)
@lb_class_option
@click.option("--strict", is_flag=True, help="Fail for warnings too.")
@output_option("text", "json", "sarif", "junit")
@failing_plainly
def validate(  # noqa: PLR0913 (one per option)
    *,
    paths: tuple[str, ...],
    recursive: bool,
    namespace: str,
    backend: str,
    lb_class: str | None,
    strict: bool,
    output: str,
) -> None:
    """Check manifests as the API server, the controller and the speakers would.

    No cluster is needed. All objects are checked together: types and bounds of every field, the
    configuration as a whole, and whether Services among them can have the addresses they ask for.
    Objects of other kinds are skipped. What refers to an object that is not in the files (a BFD
    profile, a community's name) is a warning.
    """
    from mercurylb.cli import report  # noqa: PLC0415 (`--help` is quick)
    from mercurylb.cli.checking import check_files  # noqa: PLC0415

    with telling("reading and checking the files"):
        validation = check_files(
            paths,
            is_recursive=recursive,
            namespace=namespace,
            backend=backend,
            lb_class=lb_class or "",
        )
    if output == "text":
        for kind, line in report.to_text(validation):
            say(line, kind)
    else:
        formats = {"json": report.to_json, "sarif": report.to_sarif, "junit": report.to_junit}
        click.echo(formats[output](validation))
    sys.exit(PROBLEM if validation.is_failed(is_strict=strict) else FINE)

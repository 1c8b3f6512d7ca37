"""`mercurylb`: the operator's command."""

from __future__ import annotations

import asyncio
import sys

from mercurylb import __version__
from mercurylb.errors import MercuryError


def main() -> None:
    """Run the command; exit 0 when it worked, 1 when it failed, 2 when it was called wrongly."""
    try:
        import click  # noqa: PLC0415 (an extra: say so when it is missing)
    except ImportError:
        sys.exit("mercurylb: the operator's command needs an extra: pip install 'mercurylb[cli]'")

    @click.group()
    @click.version_option(__version__, prog_name="mercurylb")
    def command() -> None:
        """Ask MercuryLB why things are as they are.

        The cluster is found as kubectl finds it: KUBECONFIG, the pod's service account, then
        ~/.kube/config. Shell completion: eval "$(_MERCURYLB_COMPLETE=bash_source mercurylb)".
        """

    @command.group()
    def explain() -> None:
        """Tell the reasons of a decision."""

    @explain.command("service")
    @click.argument("service", metavar="[NAMESPACE/]NAME")
    @click.option(
        "--namespace",
        "-n",
        default="metallb",
        show_default=True,
        envvar="METALLB_NAMESPACE",
        show_envvar=True,
        help="Where MercuryLB's configuration is.",
    )
    @click.option("--lb-class", default="", help="The daemons' --lb-class, if they have one.")
    @click.option("--output", "-o", type=click.Choice(["text", "json"]), default="text")
    def explain_service(service: str, namespace: str, lb_class: str, output: str) -> None:
        """Tell why a service has its address or has none, and which nodes may announce it."""
        from mercurylb.cli.explain import explain_from_cluster  # noqa: PLC0415 (`--help` is quick)

        try:
            explanation = asyncio.run(
                explain_from_cluster(service, namespace=namespace, lb_class=lb_class)
            )
        except MercuryError as error:
            raise click.ClickException(str(error)) from error
        click.echo(explanation.as_json() if output == "json" else explanation.as_text())

    command()


if __name__ == "__main__":
    main()

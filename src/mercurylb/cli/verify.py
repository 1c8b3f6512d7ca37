"""`mercurylb verify`: whether an installation is all right, and what to do where it is not."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

import click

from mercurylb.cli.options import (
    EXIT_CODES,
    FINE,
    PROBLEM,
    failing_plainly,
    namespace_option,
    output_option,
    say,
    telling,
)

if TYPE_CHECKING:
    from mercurylb.cli.verify_evidence import Evidence
    from mercurylb.cli.verify_finding import Finding

AGAIN_S: Final = 2.0
"""Between two looks while it waits."""


@click.command(epilog=EXIT_CODES)
@namespace_option
@click.option(
    "--wait",
    "wait_s",
    type=click.FloatRange(0, 3600),
    default=0.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to look again while something is a problem.",
)
@output_option("text", "json")
@failing_plainly
def verify(*, namespace: str, wait_s: float, output: str) -> None:
    """Check an installation: definitions, programs, webhooks, configuration, surroundings.

    Every check says what it found, and what to do where something is wrong. What may not be read is
    skipped and said so. Nothing is changed: the webhooks are tried by a server-side dry run of a
    pool that they have to refuse. Warnings do not fail.
    """
    import asyncio  # noqa: PLC0415 (`--help` is quick)

    from mercurylb.cli.verify_finding import (  # noqa: PLC0415
        has_problem,
        to_builtins,
        to_lines,
    )

    with telling("looking at the installation"):
        evidence, findings = asyncio.run(_look(namespace, wait_s))
    if output == "json":
        from mercurylb.cli.report import pretty  # noqa: PLC0415

        click.echo(pretty(to_builtins(evidence.namespace, findings)))
    else:
        for kind, line in to_lines(evidence.namespace, findings):
            say(line, kind)
    sys.exit(PROBLEM if has_problem(findings) else FINE)


async def _look(namespace: str, wait_s: float) -> tuple[Evidence, tuple[Finding, ...]]:
    import asyncio  # noqa: PLC0415 (`--help` is quick)
    import os  # noqa: PLC0415

    from mercurylb.cli.verify_evidence import gather_evidence  # noqa: PLC0415
    from mercurylb.cli.verify_finding import has_problem  # noqa: PLC0415
    from mercurylb.cli.verify_judgement import judge  # noqa: PLC0415
    from mercurylb.kube.client import KubeClient  # noqa: PLC0415
    from mercurylb.kube.credentials import load_credentials  # noqa: PLC0415

    async with KubeClient(await load_credentials(os.environ)) as client:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_s
        while True:
            evidence = await gather_evidence(client, namespace=namespace)
            findings = judge(evidence)
            if not has_problem(findings) or loop.time() + AGAIN_S > deadline:
                return evidence, findings
            await asyncio.sleep(AGAIN_S)

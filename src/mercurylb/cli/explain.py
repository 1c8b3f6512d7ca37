"""`mercurylb explain`: why things are as they are."""

from __future__ import annotations

import sys

import click

from mercurylb.cli.options import (
    EXIT_CODES,
    PROBLEM,
    failing_plainly,
    lb_class_option,
    namespace_option,
    output_option,
    say,
    snapshot_option,
)


@click.group(epilog=EXIT_CODES)
def explain() -> None:
    """Tell the reasons of a decision."""


@explain.command("service", epilog=EXIT_CODES)
@click.argument("service", metavar="[NAMESPACE/]NAME")
@snapshot_option
@namespace_option
@lb_class_option
@output_option("text", "json", "yaml")
@failing_plainly
def explain_service(
    *, service: str, snapshot: str | None, namespace: str, lb_class: str | None, output: str
) -> None:
    """Tell why a service has its address or has none, and which nodes may announce it.

    The first line names the one true cause, the second what to do about it. Below stands the whole
    chain: each pool chosen or refused, the address, each node with its rank or why it has none, and
    the node that announces.
    """
    from mercurylb.cli.explanation_text import to_builtins, to_lines  # noqa: PLC0415 (quick help)
    from mercurylb.cli.loading import load_snapshot  # noqa: PLC0415
    from mercurylb.errors import ConfigError, NotFound  # noqa: PLC0415
    from mercurylb.plan import explanation  # noqa: PLC0415

    picture = load_snapshot(snapshot, namespace=namespace, lb_class=lb_class)
    key = service if "/" in service else f"default/{service}"
    found = explanation.explain_service(picture, key)
    unreadable = [p for p in picture.unreadable if p.object == f"Service {key}"]
    if found is None and unreadable:
        raise ConfigError(tuple(unreadable))
    if found is None:
        raise NotFound(404, "NotFound", _unknown(key, [s.metadata.key for s in picture.services]))
    if output == "text":
        for kind, line in to_lines(found):
            say(line, kind)
    else:
        from mercurylb.cli.report import pretty  # noqa: PLC0415

        value = to_builtins(found)
        if output == "json":
            click.echo(pretty(value))
        else:
            from mercurylb.cli.manifest import to_yaml  # noqa: PLC0415

            click.echo(to_yaml(value), nl=False)
    if not found.cause.is_healthy:
        sys.exit(PROBLEM)


def _unknown(key: str, known: list[str]) -> str:
    name = key.partition("/")[2]
    elsewhere = [other for other in known if other.partition("/")[2] == name]
    hint = f"; did you mean {elsewhere[0]}?" if elsewhere else ""
    return f"there is no service {key}{hint}"

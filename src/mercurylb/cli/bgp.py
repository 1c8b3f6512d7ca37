"""`mercurylb bgp`: what the speaker of this node says of its BGP sessions."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

import click

from mercurylb.cli.options import EXIT_CODES, PROBLEM, failing_plainly, output_option, say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from click.shell_completion import CompletionItem

TIMEOUT_S: Final = 5.0
COMPLETION_TIMEOUT_S: Final = 0.5
_SECONDS: Final = click.FloatRange(0.05, 60.0)
_ESTABLISHED: Final = "Established"


def timeout_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --timeout."""
    return click.option(
        "--timeout",
        "timeout_s",
        type=_SECONDS,
        default=TIMEOUT_S,
        show_default=True,
        help="Seconds to wait for each answer.",
    )(command)


def complete_peer(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Give the names of the peers here; none if they cannot be asked for."""
    del context, parameter
    from click.shell_completion import CompletionItem  # noqa: PLC0415 (for shells only)

    from mercurylb.cli.desk import ask_peers  # noqa: PLC0415
    from mercurylb.errors import MercuryError  # noqa: PLC0415

    try:
        answer = ask_peers(COMPLETION_TIMEOUT_S)
    except MercuryError:
        return []
    return [
        CompletionItem(session.name, help=f"{session.peer}, {session.state}")
        for session in answer.sessions
        if session.name.startswith(incomplete)
    ]


@click.group(epilog=EXIT_CODES)
def bgp() -> None:
    """Ask the speaker of this node for its BGP sessions.

    It is asked over a socket in its network namespace, so this runs on the node (as root) or in the
    speaker's pod, and needs no cluster.
    """


@bgp.command("peers", epilog=EXIT_CODES)
@output_option("text", "wide", "json", "yaml")
@timeout_option
@failing_plainly
def peers(*, output: str, timeout_s: float) -> None:
    """List the peers, and how their sessions are.

    The exit code is 1 if one of them is not established, or if its BFD session is down.
    """
    from mercurylb.cli.bgp_text import peers_to_lines  # noqa: PLC0415 (quick help)
    from mercurylb.cli.desk import ask_peers  # noqa: PLC0415

    answer = ask_peers(timeout_s)
    if output in ("json", "yaml"):
        _print(answer, output)
    else:
        _say(peers_to_lines(answer, is_wide=output == "wide"))
    fine = all(each.state == _ESTABLISHED and each.bfd in ("", "Up") for each in answer.sessions)
    if not fine:
        sys.exit(PROBLEM)


@bgp.command("routes", epilog=EXIT_CODES)
@click.option(
    "--peer", "-p", default="", shell_complete=complete_peer, help="Of this peer only; by name."
)
@output_option("text", "json", "yaml")
@timeout_option
@failing_plainly
def routes(*, peer: str, output: str, timeout_s: float) -> None:
    """List what each peer has been sent, and how much is still to be sent."""
    from mercurylb.cli.bgp_text import routes_to_lines  # noqa: PLC0415 (quick help)
    from mercurylb.cli.desk import ask_peers, ask_routes, ask_session  # noqa: PLC0415

    sessions = [ask_session(peer, timeout_s).session] if peer else ask_peers(timeout_s).sessions
    if output == "text":
        for number, session in enumerate(sessions):
            if number:
                say("")
            _say(routes_to_lines(session, ask_routes(session.name, timeout_s)))
        return
    shown = [
        {
            "peer": session.name,
            "state": session.state,
            "pending": session.prefixes_pending,
            "routes": [
                {"prefix": prefix, "attributes": attributes}
                for page in ask_routes(session.name, timeout_s)
                for prefix, attributes in page.routes
            ],
        }
        for session in sessions
    ]
    _print(shown, output)


@bgp.command("session", epilog=EXIT_CODES)
@click.argument("peer", shell_complete=complete_peer)
@output_option("text", "json", "yaml")
@timeout_option
@failing_plainly
def session(*, peer: str, output: str, timeout_s: float) -> None:
    """Tell everything of the session with PEER (the name of the BGPPeer), and its story.

    The exit code is 1 if it is not established, or if its BFD session is down.
    """
    from mercurylb.cli.bgp_text import session_to_lines  # noqa: PLC0415 (quick help)
    from mercurylb.cli.desk import ask_session  # noqa: PLC0415

    answer = ask_session(peer, timeout_s)
    if output in ("json", "yaml"):
        _print(answer, output)
    else:
        _say(session_to_lines(answer))
    is_bfd_fine = answer.bfd is None or answer.bfd.state == "Up"
    if answer.session.state != _ESTABLISHED or not is_bfd_fine:
        sys.exit(PROBLEM)


def _say(lines: Iterable[tuple[str, str]]) -> None:
    for kind, line in lines:
        # A peer's own words are in some: no escape sequence of theirs reaches the terminal.
        say(
            "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in line),
            kind,
        )


def _print(value: object, output: str) -> None:
    import msgspec  # noqa: PLC0415 (quick help)

    plain = msgspec.to_builtins(value)
    if output == "json":
        from mercurylb.cli.report import pretty  # noqa: PLC0415

        click.echo(pretty(plain))
    else:
        from mercurylb.cli.manifest import to_yaml  # noqa: PLC0415

        click.echo(to_yaml(plain), nl=False)

"""What the commands have in common: options, exit codes, colours, and a word while one waits."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import threading
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from mercurylb.errors import ConfigError, MercuryError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FINE: Final = 0
PROBLEM: Final = 1
EXIT_CODES: Final = "Exit codes: 0 fine, 1 a problem was found or it failed, 2 called wrongly."

PATIENCE_S: Final = 2.0
"""Whoever waits longer is told for what."""

_Command = TypeVar("_Command", bound="Callable[..., Any]")

_COLOURS: Final = {"error": "red", "warning": "yellow", "hint": "cyan", "good": "green"}


def namespace_option(command: _Command) -> _Command:
    """Add --namespace."""
    return click.option(
        "--namespace",
        "-n",
        default="",
        envvar="METALLB_NAMESPACE",
        show_envvar=True,
        help="Where MercuryLB and its configuration are; found out from the objects if not given.",
    )(command)


def lb_class_option(command: _Command) -> _Command:
    """Add --lb-class."""
    return click.option(
        "--lb-class",
        default=None,
        help="The daemons' --lb-class; read from their pods if not given.",
    )(command)


def output_option(*formats: str) -> Callable[[_Command], _Command]:
    """Add --output, the first format being the default."""
    return click.option(
        "--output",
        "-o",
        type=click.Choice(formats),
        default=formats[0],
        show_default=True,
        help="Form of the output.",
    )


def snapshot_option(command: _Command) -> _Command:
    """Add --snapshot."""
    return click.option(
        "--snapshot",
        type=click.Path(allow_dash=True),
        help="A file by `mercurylb snapshot` or `kubectl get … -o yaml`, instead of the cluster.",
    )(command)


def failing_plainly(command: Callable[..., Any]) -> Callable[..., Any]:
    """Turn our errors into a message and exit code 1."""

    @functools.wraps(command)
    def wrapped(*arguments: object, **options: object) -> object:
        try:
            return command(*arguments, **options)
        except ConfigError as error:
            for problem in error.problems:
                say(str(problem), "error", to_stderr=True)
        except MercuryError as error:
            say(f"Error: {error}", "error", to_stderr=True)
        sys.exit(PROBLEM)

    return wrapped


def say(text: str, kind: str = "", *, to_stderr: bool = False) -> None:
    """Print a line, in colour only where a person sees it and did not ask for none."""
    stream = sys.stderr if to_stderr else sys.stdout
    colour = _COLOURS.get(kind)
    if colour and stream.isatty() and not os.environ.get("NO_COLOR"):
        text = click.style(text, fg=colour)
    click.echo(text, err=to_stderr)


@contextlib.contextmanager
def telling(what: str) -> Iterator[None]:
    """Say what is going on if it takes long: a spinner on a terminal, a line elsewhere."""
    is_over = threading.Event()

    def tell() -> None:
        if is_over.wait(PATIENCE_S):
            return
        if not sys.stderr.isatty():
            click.echo(f"{what} …", err=True)
            return
        from rich.console import Console  # noqa: PLC0415 (only for who waits)

        with Console(stderr=True).status(what):
            is_over.wait()

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        is_over.set()
        teller.join()

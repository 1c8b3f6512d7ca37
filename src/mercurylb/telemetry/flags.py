"""The command line in the style of Go's flag package, as the original's programs have it.

`-x` and `--x` mean the same; a value comes after `=` or as the next argument; a boolean stands
alone or has `=true` / `=false`. An environment variable gives the default of its flag, so the
order is flag, then environment, then default. Anything unknown fails: a misspelt flag must not run
with a default.

argparse prints the help and holds the types; the words are sorted out here first, because
argparse's own rules differ (abbreviations, a boolean that eats the next word, values that begin
with a dash).
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import msgspec

from mercurylb.errors import MercuryError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

EXIT_USAGE = 2
PORT_MAX = 65_535
SECONDS_MAX = 2_147_483_647
_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE = frozenset({"0", "f", "F", "false", "FALSE", "False"})

S = TypeVar("S", bound=msgspec.Struct)
Value = str | int | bool


class FlagError(MercuryError):
    """The command line or the environment cannot be used; the text says which flag and why."""

    def __init__(self, message: str, *, exit_code: int = EXIT_USAGE) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag; the type of its default is the type of its value."""

    name: str
    """As in `--name`, with dashes."""
    default: Value
    help: str
    env: str = ""
    """The environment variable that gives the default."""
    check: Callable[[Value], str] | None = None
    """Gives what is wrong with a value, or an empty text."""
    exit_code: int = EXIT_USAGE
    """How the program ends when the check fails; the original looks at some values later."""
    complaint: str = ""
    """What is said before what the check says."""

    @property
    def dest(self) -> str:
        """Give the name with underscores."""
        return self.name.replace("-", "_")


def in_range(low: int, high: int) -> Callable[[Value], str]:
    """Make a check that a number is between two others, both allowed."""

    def check(value: Value) -> str:
        return "" if low <= int(value) <= high else f"must be between {low} and {high}"

    return check


def one_of(*allowed: str) -> Callable[[Value], str]:
    """Make a check that a text is one of a few."""

    def check(value: Value) -> str:
        return "" if value in allowed else f"must be one of {', '.join(allowed)}"

    return check


is_port = in_range(0, PORT_MAX)
is_seconds = in_range(0, SECONDS_MAX)


def parse(
    flags: Sequence[Flag], argv: Sequence[str], environ: Mapping[str, str]
) -> dict[str, Value]:
    """Parse words (without the program's name) into values by `dest`; raise FlagError."""
    known = {flag.name: flag for flag in flags}
    values = {flag.dest: _default(flag, environ) for flag in flags}
    for name, text in _pairs(known, argv):
        flag = known[name]
        values[flag.dest] = _value(flag, text, f"--{name}")
    for flag in flags:
        problem = flag.check(values[flag.dest]) if flag.check else ""
        if problem:
            value = values[flag.dest]
            raise FlagError(
                f"{flag.complaint}invalid value {value!r} for flag --{flag.name}: {problem}",
                exit_code=flag.exit_code,
            )
    return values


def parse_into(  # noqa: PLR0913 (what it reads, and what help and mistakes say)
    shape: type[S],
    flags: Sequence[Flag],
    argv: Sequence[str],
    environ: Mapping[str, str],
    *,
    description: str,
    prog: str,
) -> S:
    """Parse a program's command line into its settings; print help or the mistake, and exit.

    Exits with 0 after `--help` and with 2 after a mistake, as the original's programs do; and with
    the flag's own code, told on standard output, where the original looks at the value itself.
    """
    if any(word in {"-h", "-help", "--help", "--h"} for word in argv):
        sys.stdout.write(usage(flags, description=description, prog=prog))
        raise SystemExit(0)
    try:
        return msgspec.convert(parse(flags, argv, environ), shape)
    except FlagError as error:
        if error.exit_code != EXIT_USAGE:
            sys.stdout.write(f"{error}\n")
            raise SystemExit(error.exit_code) from None
        _exit_usage(f"{prog}: {error}\nRun '{prog} --help' to see all flags.\n")


def usage(flags: Sequence[Flag], *, description: str, prog: str) -> str:
    """Give the help text: each flag with its default and its environment variable."""
    parser = argparse.ArgumentParser(
        prog=prog, description=description, add_help=False, allow_abbrev=False
    )
    for flag in flags:
        env = f" [env {flag.env}]" if flag.env else ""
        default = "" if flag.default == "" else f" (default {_text(flag.default)})"
        text = (flag.help + default + env).replace("%", "%%")
        action: dict[str, Any] = {"help": text}
        if isinstance(flag.default, bool):
            action["action"] = "store_true"
        else:
            action["metavar"] = "N" if isinstance(flag.default, int) else "TEXT"
        parser.add_argument(f"--{flag.name}", **action)
    return parser.format_help()


def _pairs(known: Mapping[str, Flag], argv: Sequence[str]) -> list[tuple[str, str]]:
    """Sort words into flags and their texts, by Go's rules."""
    pairs = []
    words = iter(argv)
    for word in words:
        if word == "--" or not word.startswith("-") or word == "-":
            raise FlagError(f"unexpected argument {word!r}: only flags are taken")
        name, equals, text = word[2 if word.startswith("--") else 1 :].partition("=")
        flag = known.get(name)
        if flag is None:
            raise FlagError(f"flag provided but not defined: {word.partition('=')[0]}")
        if not equals:
            following = "true" if isinstance(flag.default, bool) else next(words, None)
            if following is None:
                raise FlagError(f"flag needs an argument: --{name}")
            text = following
        pairs.append((name, text))
    return pairs


def _default(flag: Flag, environ: Mapping[str, str]) -> Value:
    text = environ.get(flag.env, "") if flag.env else ""
    return (
        _value(flag, text, f"{flag.env} (the default of --{flag.name})") if text else flag.default
    )


def _value(flag: Flag, text: str, source: str) -> Value:
    if isinstance(flag.default, bool):
        if text in _TRUE | _FALSE:
            return text in _TRUE
        raise FlagError(f"invalid boolean value {text!r} for {source}")
    if isinstance(flag.default, int):
        try:
            return int(text, 0)
        except ValueError:
            raise FlagError(f"invalid value {text!r} for {source}: not a whole number") from None
    return text


def _text(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _exit_usage(message: str) -> NoReturn:
    sys.stderr.write(message)
    raise SystemExit(EXIT_USAGE)

"""What a check of an installation comes to: a verdict, the facts in one sentence, what to do."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any, Final

import msgspec

from mercurylb.config.problem import clip

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MESSAGE_MAX: Final = 400
_COLOURS: Final = {"ok": "good", "warning": "warning", "problem": "error", "skipped": ""}


class Verdict(enum.Enum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    """Works, but somebody should know."""
    PROBLEM = "problem"
    """Something does not work, or is about to stop working."""
    SKIPPED = "skipped"
    """Not looked at: there is no such thing here, or it may not be read."""


class Finding(msgspec.Struct, frozen=True):
    """The end of one check."""

    check: str
    """A stable word."""
    verdict: Verdict
    message: str
    advice: str = ""
    """What to do about it."""


def fine(check: str, message: str) -> Finding:
    """Give the finding of a check that found nothing."""
    return Finding(check, Verdict.OK, clip(message, MESSAGE_MAX))


def warning(check: str, message: str, advice: str) -> Finding:
    """Give something that works and should be known."""
    return Finding(check, Verdict.WARNING, clip(message, MESSAGE_MAX), advice)


def problem(check: str, message: str, advice: str) -> Finding:
    """Give something that does not work."""
    return Finding(check, Verdict.PROBLEM, clip(message, MESSAGE_MAX), advice)


def skipped(check: str, reason: str) -> Finding:
    """Give a check that was not made."""
    return Finding(check, Verdict.SKIPPED, clip(reason, MESSAGE_MAX))


def has_problem(findings: Iterable[Finding]) -> bool:
    """Tell whether anything does not work."""
    return any(each.verdict is Verdict.PROBLEM for each in findings)


def to_lines(
    namespace: str, findings: tuple[Finding, ...], *, verb: str = "Verified"
) -> Iterator[tuple[str, str]]:
    """Give lines for people, each with the colour of what it says."""
    width = max((len(each.check) for each in findings), default=0)
    for each in findings:
        word = each.verdict.value
        yield _COLOURS[word], f"{word:<8} {each.check:<{width}}  {each.message}"
        if each.advice:
            yield "hint", f"{'':<8} {'':<{width}}  To do: {each.advice}."
    counts = [sum(each.verdict is verdict for each in findings) for verdict in Verdict]
    told = [_count(counts[2], "problem"), _count(counts[1], "warning")]
    told += [f"{counts[0]} checks fine", f"{counts[3]} skipped"]
    yield "", f"{verb} namespace {namespace}: {', '.join(told)}."


def to_builtins(namespace: str, findings: tuple[Finding, ...]) -> dict[str, Any]:
    """Give everything, for programs."""
    return {
        "namespace": namespace,
        "isFine": not has_problem(findings),
        "findings": msgspec.to_builtins(findings),
    }


def _count(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"

"""Checks that every kind with lists of names or label selectors needs."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec

from mercurylb.config.problem import Problem
from mercurylb.errors import ParseError
from mercurylb.values.address import quoted
from mercurylb.values.selector import Selector, compile_selector

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mercurylb.api.meta import LabelSelector


class Report(msgspec.Struct, frozen=True):
    """Collects the problems of one object."""

    object: str
    problems: list[Problem]

    def add(self, field: str, value: str, message: str, *, hint: str = "") -> None:
        """Note a problem with one field."""
        self.problems.append(Problem(self.object, field, value, message, hint))


def check_distinct(
    names: Sequence[str] | None, *, field: str, what: str, report: Report
) -> tuple[str, ...]:
    """Give the names of a list, and note those that stand there twice."""
    seen: set[str] = set()
    for index, name in enumerate(names or ()):
        if name in seen:
            report.add(f"{field}[{index}]", name, f"duplicate definition of {what} {quoted(name)}")
        seen.add(name)
    return tuple(names or ())


def compile_selectors(
    selectors: Sequence[LabelSelector | None] | None, *, field: str, wrong: str, report: Report
) -> tuple[Selector, ...]:
    """Compile a list of selectors, and note the invalid and the repeated ones.

    `wrong` opens the message about an invalid selector. The last part of `field` is the word that
    the message about a repeated one uses.
    """
    compiled = []
    seen: set[tuple[object, ...]] = set()
    for index, selector in enumerate(selectors or ()):
        path = f"{field}[{index}]"
        form = _written_form(selector)
        if form in seen:
            text = _selector_text(selector)
            what = field.rpartition(".")[2]
            report.add(path, text, f"duplicate definition of {what} {text}")
        seen.add(form)
        result = compile_one(selector, field=path, wrong=wrong, report=report)
        if result is not None:
            compiled.append(result)
    return tuple(compiled)


def compile_one(
    selector: LabelSelector | None, *, field: str, wrong: str, report: Report
) -> Selector | None:
    """Compile one selector, and note repeated expressions and values, or that it is invalid."""
    if selector is None:
        return Selector()
    _check_expressions(selector, field=field, report=report)
    try:
        return compile_selector(selector.match_labels, selector.match_expressions)
    except ParseError as error:
        report.add(field, _selector_text(selector), f"{wrong}: {error}")
        return None


def _check_expressions(selector: LabelSelector, *, field: str, report: Report) -> None:
    seen: set[tuple[object, ...]] = set()
    for index, expression in enumerate(selector.match_expressions or ()):
        path = f"{field}.matchExpressions[{index}]"
        values = tuple(sorted(expression.values or ()))
        form = (expression.key, expression.operator, values)
        if form in seen:
            text = f"{expression.key} {expression.operator} {list(values)}"
            report.add(path, text, f"duplicate definition of match expressions {text}")
        seen.add(form)
        for value, following in pairwise(values):
            if value == following:
                message = (
                    "duplicate definition of match expression value in label selector"
                    f" {quoted(value)}"
                )
                report.add(f"{path}.values", value, message)


def _written_form(selector: LabelSelector | None) -> tuple[object, ...]:
    if selector is None:
        return ((), ())
    return (
        tuple(sorted((selector.match_labels or {}).items())),
        tuple(
            (expression.key, expression.operator, tuple(sorted(expression.values or ())))
            for expression in selector.match_expressions or ()
        ),
    )


def _selector_text(selector: LabelSelector | None) -> str:
    if selector is None:
        return "{}"
    terms = [f"{key}={value}" for key, value in sorted((selector.match_labels or {}).items())]
    for expression in selector.match_expressions or ():
        values = f" ({','.join(expression.values)})" if expression.values else ""
        terms.append(f"{expression.key} {expression.operator}{values}")
    return quoted(",".join(terms))

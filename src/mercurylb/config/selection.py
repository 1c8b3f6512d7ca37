"""Checks that every kind with lists of names or label selectors needs."""

from __future__ import annotations

from itertools import islice, pairwise
from typing import TYPE_CHECKING, Final

from mercurylb.config.problem import Code, Report, clip
from mercurylb.errors import ParseError
from mercurylb.values.address import quoted
from mercurylb.values.selector import Selector, compile_selector, matches_any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mercurylb.api.meta import LabelSelector

_TERMS_MAX: Final = 32
"""Terms of a selector that a message repeats."""


def check_distinct(
    names: Sequence[str] | None, *, field: str, what: str, report: Report
) -> tuple[str, ...]:
    """Give the names of a list, and note those that stand there twice."""
    seen: set[str] = set()
    for index, name in enumerate(names or ()):
        if name in seen:
            message = f"duplicate definition of {what} {quoted(name)}"
            hint = "remove the second one"
            report.add(f"{field}[{index}]", name, message, code=Code.VALUE_DUPLICATE, hint=hint)
        seen.add(name)
    return tuple(names or ())


def check_range(value: int | None, bounds: tuple[int, int], *, field: str, report: Report) -> None:
    """Note a number that its field cannot hold; the API's schema lets none of them in."""
    low, high = bounds
    if value is not None and not low <= value <= high:
        message = f"invalid value {clip(str(value))}, must be in {low}-{high} range"
        report.add(field, str(value), message, code=Code.VALUE_RANGE)


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
            message = f"duplicate definition of {what} {text}"
            hint = "remove the second one"
            report.add(path, text, message, code=Code.SELECTOR_DUPLICATE, hint=hint)
        seen.add(form)
        result = compile_one(selector, field=path, wrong=wrong, report=report)
        if result is not None:
            compiled.append(result)
    return tuple(compiled)


def compile_one(
    selector: LabelSelector | None, *, field: str, wrong: str, report: Report
) -> Selector | None:
    """Compile one selector, and note repeated expressions and values, or that it is invalid."""
    if selector is not None:
        _check_expressions(selector, field=field, report=report)
    try:
        return _compiled(selector)
    except ParseError as error:
        text = _selector_text(selector)
        report.add(field, text, f"{wrong}: {error}", code=Code.SELECTOR_INVALID)
        return None


def may_select(
    selectors: Sequence[LabelSelector | None] | None, candidates: Iterable[Mapping[str, str] | None]
) -> bool:
    """Tell whether any selector matches the labels of any candidate.

    It may as well if no selector is given, or one cannot be understood.
    """
    if not selectors:
        return True
    try:
        compiled = [_compiled(selector) for selector in selectors]
    except ParseError:
        return True
    return any(matches_any(compiled, labels or {}) for labels in candidates)


def _compiled(selector: LabelSelector | None) -> Selector:
    if selector is None:
        return Selector()
    return compile_selector(selector.match_labels, selector.match_expressions)


def _check_expressions(selector: LabelSelector, *, field: str, report: Report) -> None:
    seen: set[tuple[object, ...]] = set()
    for index, expression in enumerate(selector.match_expressions or ()):
        path = f"{field}.matchExpressions[{index}]"
        values = tuple(sorted(expression.values or ()))
        form = (expression.key, expression.operator, values)
        if form in seen:
            text = f"{clip(expression.key)} {clip(expression.operator)} {_list_text(values)}"
            message = f"duplicate definition of match expressions {text}"
            hint = "remove the second one"
            report.add(path, text, message, code=Code.SELECTOR_DUPLICATE, hint=hint)
        seen.add(form)
        for value, following in pairwise(values):
            if value == following:
                message = (
                    "duplicate definition of match expression value in label selector"
                    f" {quoted(value)}"
                )
                hint = "remove the second one"
                report.add(f"{path}.values", value, message, code=Code.VALUE_DUPLICATE, hint=hint)


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
    """Give a selector as a reader would write it; of a very large one its beginning."""
    if selector is None:
        return "{}"
    labels = islice((selector.match_labels or {}).items(), _TERMS_MAX)
    terms = [f"{clip(key)}={clip(value)}" for key, value in sorted(labels)]
    for expression in (selector.match_expressions or ())[:_TERMS_MAX]:
        values = f" {_list_text(expression.values, '()')}" if expression.values else ""
        terms.append(f"{clip(expression.key)} {clip(expression.operator)}{values}")
    return quoted(",".join(terms))


def _list_text(values: Sequence[str], brackets: str = "[]") -> str:
    text = ",".join(clip(value) for value in values[:_TERMS_MAX])
    return f"{brackets[0]}{text}{brackets[1]}"

"""Label selectors: requirements on the labels of an object, all of which must hold.

A selector without requirements matches everything. `NotIn` also matches an object that lacks the
key. A selector built by `compile_selector` is valid; two selectors that mean the same in the same
order of keys are equal, because requirements are sorted by key and values are sorted.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from mercurylb.errors import ParseError
from mercurylb.values.address import quoted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_NAME_MAX: Final = 63
_DOMAIN_MAX: Final = 253
_NAME: Final = re.compile(r"[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?")
_DOMAIN: Final = re.compile(
    r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*"
)


_RULE: Final = (
    "at most 63 alphanumeric characters, '-', '_' or '.', starting and ending with an alphanumeric"
    " character"
)


class Operator(StrEnum):
    """How a requirement compares."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


class Requirement(msgspec.Struct, frozen=True, order=True, gc=False):
    """One condition on one label; `values` are sorted and distinct."""

    key: str
    operator: Operator
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Tell whether the labels meet the condition."""
        value = labels.get(self.key)
        match self.operator:
            case Operator.IN:
                return value in self.values
            case Operator.NOT_IN:
                return value not in self.values
            case Operator.EXISTS:
                return value is not None
            case Operator.DOES_NOT_EXIST:
                return value is None

    def __str__(self) -> str:
        """Give the text form that label queries use."""
        match self.operator:
            case Operator.EXISTS:
                return self.key
            case Operator.DOES_NOT_EXIST:
                return f"!{self.key}"
            case Operator.IN if len(self.values) == 1:
                return f"{self.key}={self.values[0]}"
            case Operator.IN:
                return f"{self.key} in ({','.join(self.values)})"
            case Operator.NOT_IN:
                return f"{self.key} notin ({','.join(self.values)})"


class Selector(msgspec.Struct, frozen=True, order=True, gc=False):
    """Requirements that must all hold."""

    requirements: tuple[Requirement, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Tell whether all requirements hold."""
        return all(requirement.matches(labels) for requirement in self.requirements)

    def __str__(self) -> str:
        """Give the text form that label queries use."""
        return ",".join(str(requirement) for requirement in self.requirements) or "(everything)"


EVERYTHING: Final = Selector()
"""Matches every object."""


class Expression(Protocol):
    """One element of `matchExpressions` as written in an object."""

    @property
    def key(self) -> str:
        """The label's key."""

    @property
    def operator(self) -> str:
        """In, NotIn, Exists or DoesNotExist, if it is valid."""

    @property
    def values(self) -> Sequence[str] | None:
        """What to compare with."""


def matches_any(selectors: Sequence[Selector], labels: Mapping[str, str]) -> bool:
    """Tell whether at least one selector matches; none at all matches nothing."""
    return any(selector.matches(labels) for selector in selectors)


def compile_selector(
    match_labels: Mapping[str, str] | None, match_expressions: Sequence[Expression] | None
) -> Selector:
    """Check and compile a selector as written in an object; raises `ParseError`."""
    requirements = [
        _requirement(key, Operator.IN, (value,)) for key, value in (match_labels or {}).items()
    ]
    for expression in match_expressions or ():
        try:
            operator = Operator(expression.operator)
        except ValueError:
            raise ParseError(
                f"{quoted(expression.operator)} is not a valid label selector operator"
            ) from None
        requirements.append(_requirement(expression.key, operator, tuple(expression.values or ())))
    return Selector(tuple(sorted(requirements)))


def _requirement(key: str, operator: Operator, values: tuple[str, ...]) -> Requirement:
    _check_key(key)
    if operator in (Operator.IN, Operator.NOT_IN):
        if not values:
            raise ParseError(
                f"label {quoted(key)}: for 'in', 'notin' operators, values set can't be empty"
            )
    elif values:
        raise ParseError(
            f"label {quoted(key)}: values set must be empty for exists and does not exist"
        )
    for value in values:
        if value and (len(value) > _NAME_MAX or not _NAME.fullmatch(value)):
            what = f"label {quoted(key)}: invalid label value {quoted(value)}"
            raise ParseError(f"{what}: must be empty or {_RULE}")
    return Requirement(key, operator, tuple(sorted(set(values))))


def _check_key(key: str) -> None:
    domain, slash, name = key.rpartition("/")
    valid = len(name) <= _NAME_MAX and _NAME.fullmatch(name) is not None
    if slash:
        valid = valid and len(domain) <= _DOMAIN_MAX and _DOMAIN.fullmatch(domain) is not None
    if not valid:
        raise ParseError(
            f"invalid label key {quoted(key)}: must be {_RULE},"
            " with an optional DNS subdomain prefix and '/'"
        )

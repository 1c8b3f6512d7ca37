"""What a plain YAML scalar means to Kubernetes.

YAML 1.1 as Kubernetes' own reader takes it: `yes` and `on` are booleans, but `64512:1` is text, not
a number to the base of 60, and a time stamp is text. Quoted scalars are always text.
"""

from __future__ import annotations

import re
from typing import Final

from mercurylb.errors import ParseError
from mercurylb.values.address import quoted

_TAG: Final = "tag:yaml.org,2002:"
_NULLS: Final = frozenset(("", "~", "null", "Null", "NULL"))
_TRUES: Final = frozenset(("true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON", "y", "Y"))
_FALSES: Final = frozenset(
    ("false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF", "n", "N")
)
_INTEGER: Final = re.compile(r"[-+]?(?:0|[1-9][0-9_]*)")
_BASED: Final = re.compile(r"[-+]?0(?:x[0-9A-Fa-f_]+|b[01_]+|o?[0-7_]+)")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "str": (str,),
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "null": (type(None),),
}
_DIGITS_MAX: Final = 400

Scalar = str | int | float | bool | None


def resolve(text: str, tag: str | None, *, is_plain: bool) -> Scalar:
    """Give the value of a scalar; raises `ParseError` for a tag that stands for no JSON value."""
    if tag is None or tag == "!":
        return _plain(text) if is_plain and tag is None else text
    name = tag.removeprefix(_TAG)
    value = text if name == "str" else _plain(text)
    if tag == name or not isinstance(value, _TYPES.get(name, ())):
        raise ParseError(f"tag {quoted(tag[:80])} is not for a Kubernetes object")
    return value


def _plain(text: str) -> Scalar:
    if text in _NULLS:
        return None
    if text in _TRUES or text in _FALSES:
        return text in _TRUES
    if len(text) > _DIGITS_MAX or text[0] not in "+-.0123456789":
        return text
    if _INTEGER.fullmatch(text):
        return int(text)
    if _BASED.fullmatch(text):
        return _based(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def _based(text: str) -> Scalar:
    digits = text.replace("_", "").replace("0o", "0")
    sign, digits = (-1, digits[1:]) if digits.startswith("-") else (1, digits.removeprefix("+"))
    base = {"0x": 16, "0b": 2}.get(digits[:2].lower(), 8)
    try:
        return sign * int(digits[2:] if base != 8 else digits, base)  # noqa: PLR2004 (octal)
    except ValueError:
        return text

"""What the API server refuses before anybody sees an object: types, bounds, unknown fields.

The schemas are those of our own definitions. Rules in the Common Expression Language are not
evaluated; those that `compile_config` does not know as well are written out here.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import msgspec

from mercurylb.api.crd import crd
from mercurylb.api.definition import DEFINITIONS
from mercurylb.api.meta import GROUP, ObjectMeta
from mercurylb.config.problem import Problem, clip
from mercurylb.errors import ParseError
from mercurylb.values.address import quoted
from mercurylb.values.duration import parse_duration

if TYPE_CHECKING:
    from collections.abc import Iterator

Json = dict[str, Any]

PROBLEMS_MAX: Final = 100
"""Of one object."""
CODES: Final = {
    "schema-type": "Every field holds a value of its type.",
    "schema-unknown-field": "Only fields that the kind has are used.",
    "schema-required": "Required fields are given.",
    "schema-bounds": "Values keep within the bounds of their field.",
    "schema-version": "Objects use a version of their kind that is served.",
    "schema-name": "Names follow the syntax of Kubernetes.",
}
"""What holds when nothing is wrong, for each code."""

_TYPES: Final[dict[str, type]] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "integer": int,
}
_INT_BITS: Final = {"int32": 31, "int64": 63}
_NAME: Final = re.compile(r"[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?")
_CONNECT_TIME_MAX_S: Final = 65535
_LIST_SHOWN_MAX: Final = 12


@cache
def schemas(kind: str) -> dict[str, Json]:
    """Give the schemas of a kind by version; empty if the kind is not ours."""
    for definition in DEFINITIONS:
        if definition.kind == kind:
            spec: Any = crd(definition)["spec"]
            return {
                version["name"]: version["schema"]["openAPIV3Schema"]
                for version in spec["versions"]
            }
    return {}


def check_schema(raw: Json, *, title: str) -> list[Problem]:
    """Give what the API server would say about an object of `metallb.io`."""
    return list(_limited(_Checker(title).check_object(raw)))


def _limited(problems: Iterator[Problem]) -> Iterator[Problem]:
    for _, problem in zip(range(PROBLEMS_MAX), problems, strict=False):
        yield problem


class _Checker:
    """Walks an object along its schema."""

    def __init__(self, title: str) -> None:
        self._title = title

    def _problem(
        self, code: str, path: str, value: object, message: str, hint: str = ""
    ) -> Problem:
        text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        return Problem(self._title, path, clip(text), clip(message, 1024), clip(hint), code)

    def check_object(self, raw: Json) -> Iterator[Problem]:
        kind, api_version = raw["kind"], str(raw.get("apiVersion"))
        known = schemas(kind)
        version = api_version.rpartition("/")[2]
        if version not in known:
            if kind == "AddressPool":
                hint = "write an IPAddressPool and an L2- or BGPAdvertisement instead"
            elif known:
                hint = f"use {' or '.join(f'metallb.io/{name}' for name in known)}"
            else:
                kinds = [item.kind for item in DEFINITIONS if item.group == GROUP]
                hint = f"there are: {', '.join(kinds)}"
            message = f"there is no kind {kind} in {api_version}"
            yield self._problem("schema-version", "apiVersion", api_version, message, hint)
            return
        yield from self._check_metadata(raw.get("metadata"))
        yield from self._check(raw, known[version], "")
        if kind == "BGPPeer" and isinstance(raw.get("spec"), dict):
            yield from self._check_connect_time(raw["spec"].get("connectTime"))

    def _check_metadata(self, metadata: object) -> Iterator[Problem]:
        try:
            found = msgspec.convert(metadata or {}, ObjectMeta)
        except msgspec.ValidationError as error:
            text = str(error).replace("`$.", "`metadata.")
            yield self._problem("schema-type", "metadata", "", text)
            return
        if not found.name and not found.generate_name:
            yield self._problem("schema-required", "metadata.name", "", "the object has no name")
        elif found.name and not _NAME.fullmatch(found.name):
            message = f"{quoted(found.name)} is not a name: lower-case letters, digits, '-' and '.'"
            yield self._problem("schema-name", "metadata.name", found.name, message)

    def _check(self, value: object, schema: Json, path: str) -> Iterator[Problem]:
        wanted = schema.get("type", "")
        fits = isinstance(value, _TYPES.get(wanted, object))
        if isinstance(value, bool) and wanted != "boolean":
            fits = not wanted
        if not fits:
            found = next((name for name, kind in _TYPES.items() if type(value) is kind), "null")
            hint = 'put it into quotes: "…"' if wanted == "string" else ""
            message = f"must be of type {wanted}, and is {found}"
            yield self._problem("schema-type", path, value, message, hint)
            return
        if isinstance(value, dict):
            yield from self._check_mapping(value, schema, path)
        elif isinstance(value, list):
            for index, item in enumerate(value):
                yield from self._check(item, schema.get("items", {}), f"{path}[{index}]")
        yield from self._check_bounds(value, schema, path)

    def _check_mapping(self, value: Json, schema: Json, path: str) -> Iterator[Problem]:
        properties, others = schema.get("properties"), schema.get("additionalProperties")
        if not path:
            properties = {**(properties or {}), "metadata": {}}
        for name in schema.get("required", ()):
            if value.get(name) is None:
                where = f"{path}.{name}" if path else name
                yield self._problem("schema-required", where, "", f"field {name} is required")
        for key, item in value.items():
            where = f"{path}.{key}" if path else key
            if properties and key in properties:
                if item is not None:
                    yield from self._check(item, properties[key], where)
            elif isinstance(others, dict):
                yield from self._check(item, others, where)
            elif properties is not None or path.startswith("spec"):
                yield self._unknown(key, properties or {}, where)

    def _unknown(self, key: str, properties: Json, path: str) -> Problem:
        import difflib  # noqa: PLC0415 (only when there is something to say)

        close = difflib.get_close_matches(key[:80], properties, n=1, cutoff=0.6)
        names = ", ".join(sorted(properties)[:_LIST_SHOWN_MAX])
        hint = f"did you mean {close[0]}?" if close else f"there are: {names}" if names else ""
        message = f"unknown field {quoted(key[:80])}"
        return self._problem("schema-unknown-field", path, key, message, hint)

    def _check_bounds(self, value: object, schema: Json, path: str) -> Iterator[Problem]:
        message = _bounds_message(value, schema)
        if message:
            yield self._problem("schema-bounds", path, value, message)

    def _check_connect_time(self, value: object) -> Iterator[Problem]:
        if not isinstance(value, str):
            return
        try:
            nanoseconds = parse_duration(value)
        except ParseError as error:
            yield self._problem("schema-bounds", "spec.connectTime", value, str(error))
            return
        if not 1 <= nanoseconds // 10**9 <= _CONNECT_TIME_MAX_S:
            message = "connect time should be between 1 seconds to 65535"
            yield self._problem("schema-bounds", "spec.connectTime", value, message)
        if nanoseconds // 10**6 % 1000:
            message = "connect time should contain a whole number of seconds"
            yield self._problem("schema-bounds", "spec.connectTime", value, message)


def _bounds_message(value: object, schema: Json) -> str:
    if "enum" in schema and value not in schema["enum"]:
        return f"must be one of {', '.join(map(str, schema['enum']))}"
    if isinstance(value, int) and not isinstance(value, bool):
        return _number_message(value, schema)
    if isinstance(value, str | list):
        return _length_message(value, schema)
    return ""


def _number_message(value: int, schema: Json) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    bits = _INT_BITS.get(schema.get("format", ""))
    if bits and not -(1 << bits) <= value < 1 << bits:
        return f"does not fit into {bits + 1} bits"
    if (low is None or value >= low) and (high is None or value <= high):
        return ""
    if low is None or high is None:
        return f"must be at least {low}" if high is None else f"must be at most {high}"
    return f"must be from {low} to {high}"


def _length_message(value: str | list[Any], schema: Json) -> str:
    noun, least = "items", schema.get("minItems", 0)
    if isinstance(value, str):
        noun, least = "characters", schema.get("minLength", 0)
        if len(value) > schema.get("maxLength", len(value)):
            return f"must have at most {schema['maxLength']} characters"
        pattern = schema.get("pattern")
        if pattern and not re.search(pattern, value):
            return f"must match {pattern}"
    return f"must have at least {least} {noun}" if len(value) < least else ""

"""The definitions made of the structs are, field by field, those of MetalLB (spec: api §§1-8)."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import pytest

from mercurylb import api
from mercurylb.api.crd import crd
from mercurylb.api.definition import DEFINITIONS, Column, Definition, Version
from mercurylb.api.meta import ObjectMeta
from mercurylb.api.schema import Schema
from mercurylb.kube import kinds
from mercurylb.kube.resource import Resource

if TYPE_CHECKING:
    from collections.abc import Iterator

TABLES = tomllib.loads(Path(__file__).with_name("definitions.toml").read_text())
SELECTOR = TABLES.pop("LabelSelector")
KINDS = sorted(TABLES)
SERVED = [(kind, text.split()[0]) for kind in KINDS for text in TABLES[kind]["versions"]]
USER_KINDS = [kind for kind in KINDS if not kind.startswith(("Service", "Configuration"))]


def made(kind: str) -> dict[str, Any]:
    """Give the spec of the definition we make for a kind."""
    (definition,) = [one for one in DEFINITIONS if one.kind == kind]
    made: dict[str, Any] = crd(definition)["spec"]  # type: ignore[assignment]
    return made


def schema_of(kind: str, version: str) -> dict[str, Any]:
    """Give the schema of one version of a kind."""
    (found,) = [one for one in made(kind)["versions"] if one["name"] == version]
    schema: dict[str, Any] = found["schema"]["openAPIV3Schema"]
    return schema


def walk(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any], bool]]:
    """Yield each field below a schema: its path, its schema, whether it is required."""
    for name, field in schema.get("properties", {}).items():
        below = f"{path}.{name}".removeprefix(".")
        yield below, field, name in schema.get("required", ())
        yield from walk(field, below)
        yield from walk(field.get("items", {}), f"{below}[]")


def words(field: dict[str, Any], *, is_required: bool) -> set[str]:
    """Describe a field as the tables do, without its description and its rules."""
    said = {**field}
    for key in ("description", "properties", "required", "x-kubernetes-validations"):
        said.pop(key, None)
    kind = said.pop("type")
    if kind == "array":
        items = said.pop("items")
        assert items["type"] in {"string", "object"}
        kind = f"[]{items['type']}"
        said |= {key: value for key, value in items.items() if key == "x-kubernetes-map-type"}
    elif "additionalProperties" in said:
        kind = f"map[string]{said.pop('additionalProperties')['type']}"
    found = {kind} | ({"required"} if is_required else set())
    if "format" in said:
        found.add(said.pop("format"))
    for key, value in said.items():
        text = ",".join(value) if isinstance(value, list) else value
        found.add(f"{key.removeprefix('x-kubernetes-')}={text}")
    return found


def expected_fields(kind: str, version: str) -> dict[str, set[str]]:
    """Give the table of one version, with the common selector written out."""
    table: dict[str, set[str]] = {}
    for path, text in TABLES[kind][version].items():
        table[path] = set(text.replace("LabelSelector", "object map-type=atomic").split())
        if "LabelSelector" in text:
            inside = f"{path}[]" if "[]LabelSelector" in text else path
            table |= {f"{inside}.{below}": set(said.split()) for below, said in SELECTOR.items()}
    return table


@pytest.mark.rule("api-1.kinds")
def test_the_nine_kinds_are_defined() -> None:
    """There is a definition of each kind and of no other, but for one in a group of our own."""
    assert sorted(one.kind for one in DEFINITIONS if one.group == "metallb.io") == KINDS
    others = [(one.kind, one.group) for one in DEFINITIONS if one.kind not in KINDS]
    assert others == [("BGPSession", "mercurylb.io")]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.rule(
    "api-1.kinds", "api-1.names", "api-1.versions", "api-1.deprecation", "api-1.status-subresource"
)
def test_names_and_versions(kind: str) -> None:
    """Names, scope, served and stored versions, deprecation and the status subresource."""
    spec, table = made(kind), TABLES[kind]
    assert spec["group"] == "metallb.io"
    assert spec["scope"] == "Namespaced"
    assert spec["names"] == {
        "kind": kind,
        "listKind": f"{kind}List",
        "plural": table["plural"],
        "singular": table["singular"],
    }
    versions = []
    for version in spec["versions"]:
        assert version["served"] is True
        assert version["subresources"] == {"status": {}}
        stored = " storage" if version["storage"] else ""
        warning = f" deprecated: {version['deprecationWarning']}" if "deprecated" in version else ""
        versions.append(f"{version['name']}{stored}{warning}")
    assert versions == table["versions"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.rule("api-1.1.columns")
def test_printer_columns(kind: str) -> None:
    """`kubectl get` prints the same columns in the same order, in every version."""
    for version in made(kind)["versions"]:
        columns = [
            f"{one['name']} | {one['type']} | {one['jsonPath']} | {one.get('priority', 0)}"
            for one in version.get("additionalPrinterColumns", [])
        ]
        assert columns == TABLES[kind]["columns"]


@pytest.mark.parametrize(("kind", "version"), SERVED)
@pytest.mark.rule(
    "api-1.empty-status",
    "api-1.2.schema",
    "api-2.fields",
    "api-2.status-fields",
    "api-3.1.fields",
    "api-3.2.fields",
    "api-4.fields",
    "api-5.fields",
    "api-6.fields",
    "api-7.fields",
    "api-8.2.fields",
    "api-8.3.fields",
    "api-8.4.fields",
)
def test_fields(kind: str, version: str) -> None:
    """Each field has the type, format, default, bounds, enum and list type of the table."""
    schema = schema_of(kind, version)
    found = {
        path: words(field, is_required=is_required)
        for path, field, is_required in walk(schema)
        if path not in {"apiVersion", "kind", "metadata"}
    }
    assert found == expected_fields(kind, version)
    assert schema["type"] == "object"
    assert schema["properties"]["metadata"] == {"type": "object"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.rule(
    "api-3.1.connect-time",
    "api-3.1.graceful-restart",
    "api-4.service-selectors",
    "api-8.2.fields",
    "api-8.3.fields",
)
def test_rules(kind: str) -> None:
    """The same rules hold for the same fields, and say the same when they are broken."""
    found = [
        {"path": f"{version} {path}", **rule}
        for name, version in SERVED
        if name == kind
        for path, field, _ in walk(schema_of(kind, version))
        for rule in field.get("x-kubernetes-validations", [])
    ]
    expected = [
        {key: " ".join(text.split()) for key, text in rule.items()}
        for rule in TABLES[kind].get("rules", [])
    ]
    assert sorted(found, key=str) == sorted(expected, key=str)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.rule("api-3.3.webhook")
def test_conversion(kind: str) -> None:
    """Only BGPPeer has two versions; the controller's webhook is asked to convert them."""
    assert made(kind).get("conversion") == TABLES[kind].get("conversion")


@pytest.mark.rule("api-1.spec-required")
def test_only_a_pool_needs_a_spec() -> None:
    """All other kinds may be created empty."""
    needing = {kind for kind, version in SERVED if "required" in schema_of(kind, version)}
    assert needing == {"IPAddressPool"}


@pytest.mark.parametrize(("kind", "version"), SERVED)
def test_everything_is_explained(kind: str, version: str) -> None:
    """`kubectl explain` has a sentence for the kind and for each of its fields."""
    schema = schema_of(kind, version)
    assert schema["description"].startswith(f"{kind} ")
    silent = []
    for path, field, _ in walk(schema):
        nested = [field["items"]] if field.get("items", {}).get("type") == "object" else []
        if path != "metadata" and not all(one.get("description") for one in (field, *nested)):
            silent.append(path)
    assert silent == []


def test_what_is_watched_is_what_is_stored() -> None:
    """The programs ask for the stored version under the defined names, and read its struct."""
    ours = {
        (one.group, one.kind, one.plural, one.version, one.type)
        for one in vars(kinds).values()
        if isinstance(one, Resource) and one.group in ("metallb.io", "mercurylb.io")
    }
    defined = {
        (one.group, one.kind, one.plural, version.name, version.struct)
        for one in DEFINITIONS
        for version in one.versions
        if version.is_storage
    }
    assert ours == defined


@pytest.mark.parametrize(("kind", "version"), SERVED)
def test_bounds_do_not_hinder_reading(kind: str, version: str) -> None:
    """A stored object that breaks bounds, enums and patterns is read, so its field can be named."""
    (struct,) = [
        one.struct
        for definition in DEFINITIONS
        for one in definition.versions
        if (definition.kind, one.name) == (kind, version)
    ]
    broken = {"integer": -(2**40), "string": "\u0000 no such", "boolean": True}

    def break_all(schema: dict[str, Any]) -> Any:
        if schema["type"] == "object":
            inside = schema.get("properties", {}).items()
            return {name: break_all(field) for name, field in inside if name != "metadata"}
        if schema["type"] == "array":
            return [break_all(schema["items"])] * 3
        return broken[schema["type"]]

    raw = msgspec.json.encode({**break_all(schema_of(kind, version)), "metadata": {"name": "a"}})
    read: Any = msgspec.json.decode(raw, type=struct)
    assert read.metadata.name == "a"


def test_daemons_do_without() -> None:
    """What makes definitions takes no memory where nobody asks for them."""
    source = Path(api.__file__).parents[1]
    importing = {
        path.relative_to(source).parts[0]
        for path in source.rglob("*.py")
        for name in ("crd", "definition")
        if f"from mercurylb.api.{name} import" in path.read_text()
    }
    assert importing <= {"api", "cli"}


class Undescribed(msgspec.Struct):
    """Undescribed has a field without a sentence."""

    metadata: ObjectMeta = ObjectMeta()
    spec: str = ""


class Unwritable(msgspec.Struct):
    """Unwritable has a field whose type no definition can express."""

    metadata: ObjectMeta = ObjectMeta()
    spec: Annotated[float, Schema("A fraction.")] = 0.0


@pytest.mark.parametrize("struct", [Undescribed, Unwritable])
def test_a_struct_that_cannot_be_defined_is_refused(struct: type[msgspec.Struct]) -> None:
    """A field without description, or of a type that Kubernetes does not have, is our mistake."""
    columns = (Column("A", ".spec"),)
    with pytest.raises(TypeError):
        crd(Definition(struct.__name__, "things", columns, (Version("v1", struct),)))

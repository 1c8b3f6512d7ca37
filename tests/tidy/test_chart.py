"""The chart, the definitions and the project agree with each other."""

from __future__ import annotations

import json
import re
import subprocess
import tarfile
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import yaml

from lab.build.helm import ensure_helm
from mercurylb.api.community import Community
from mercurylb.api.configuration_state import ConfigurationState
from mercurylb.api.ip_address_pool import IPAddressPool
from mercurylb.api.l2_advertisement import L2Advertisement
from mercurylb.api.service_l2_status import ServiceL2Status
from mercurylb.controller.settings import FLAGS as CONTROLLER_FLAGS
from mercurylb.speaker.settings import FLAGS as SPEAKER_FLAGS
from mercurylb.speaker.start import BACKEND_ENV
from scripts import chart_values

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "mercurylb"
CRDS = ROOT / "config" / "crd"
MODELS = {
    "communities": Community,
    "configurationstates": ConfigurationState,
    "ipaddresspools": IPAddressPool,
    "l2advertisements": L2Advertisement,
    "servicel2statuses": ServiceL2Status,
}
"""Our structs of the kinds that have a definition."""


def run_helm(*arguments: str) -> str:
    """Run Helm and return what it said."""
    argv = [str(ensure_helm()), *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def paths(values: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the path of every key that holds a value of its own."""
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from paths(value, f"{prefix}{key}.")
        else:
            yield prefix + key


def test_helm_finds_nothing_to_complain_about() -> None:
    """The chart passes Helm's own check, strictly."""
    assert "0 chart(s) failed" in run_helm("lint", "--strict", str(CHART))


def test_the_chart_installs_the_very_definitions_of_the_project() -> None:
    """There is one copy of the definitions, so none can lag behind."""
    assert (CHART / "files" / "crd").resolve() == CRDS
    names = {path.stem for path in CRDS.glob("*.yaml")}
    assert names == {
        yaml.safe_load(path.read_text())["spec"]["names"]["plural"] for path in CRDS.glob("*.yaml")
    }


def test_the_packed_chart_holds_the_definitions(tmp_path: Path) -> None:
    """The definitions travel with the chart, although they lie elsewhere in the tree."""
    run_helm("package", str(CHART), "--destination", str(tmp_path))
    (archive,) = tmp_path.glob("*.tgz")
    with tarfile.open(archive) as tar:
        members = {m.name: m for m in tar.getmembers()}
        for path in CRDS.glob("*.yaml"):
            packed = tar.extractfile(members[f"mercurylb/files/crd/{path.name}"])
            assert packed is not None
            assert packed.read() == path.read_bytes()


def test_the_chart_has_the_version_of_the_project() -> None:
    """The image's tag, which defaults to appVersion, is one that is built."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert chart["appVersion"] == project["version"]
    assert chart["name"] == project["name"]


def test_every_value_is_known_by_name() -> None:
    """No value of values.yaml is refused, or escapes the schema."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    known = chart_values.names()
    missing = []
    for path in paths(values):
        parts = path.split(".")
        above = [".".join(parts[: count + 1]) for count in range(len(parts))]
        unlisted = [p for p in above if p not in known]
        if unlisted and known.get(unlisted[0].rpartition(".")[0], True):
            missing.append(path)
    assert missing == []


def test_the_list_of_names_is_the_one_that_is_generated() -> None:
    """What is refused follows the schemas; `scripts/chart-values` draws it anew."""
    text = (CHART / chart_values.NAMES).read_text()
    assert json.loads(text) == chart_values.names()


def test_the_tables_of_the_readme_are_those_that_are_generated() -> None:
    """Every key is listed with its default; `scripts/chart-values` draws them anew."""
    text = (CHART / "README.md").read_text()
    assert text == chart_values.merged(text, chart_values.tables())


def test_every_value_is_documented() -> None:
    """Each row of the README says what its key does, and no key has none."""
    text = (CHART / "README.md").read_text()
    assert re.findall(r"^\| `([^`]+)` \|[^|]*\| \|$", text, re.MULTILINE) == []
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    rows = set(re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE))
    whole = [path for path in paths(values) if not _is_listed(path, rows)]
    assert whole == []


def _is_listed(path: str, rows: set[str]) -> bool:
    parts = path.split(".")
    return any(".".join(parts[: count + 1]) in rows for count in range(len(parts)))


def test_templates_use_no_value_that_has_no_default() -> None:
    """A template never reads a key that values.yaml does not show."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    known = set(paths(values))
    prefixes = {".".join(p.split(".")[: i + 1]) for p in known for i in range(p.count(".") + 1)}
    used = {
        match
        for path in (CHART / "templates").rglob("*.*")
        for match in re.findall(r"\.Values\.([A-Za-z0-9.]+)", path.read_text())
    }
    assert used - prefixes == set()


def test_no_host_name_of_a_registry_is_named() -> None:
    """Where images come from is the business of whoever installs."""
    host = re.compile(r"^\s*repository:\s*\"?[a-z0-9-]+\.[a-z]", re.MULTILINE)
    found = [p.name for p in CHART.rglob("*.yaml") if host.search(p.read_text())]
    assert found == []


def differences(model: Any, schema: dict[str, Any], path: str) -> Iterator[str]:
    """Yield the fields of a struct that a schema does not have, or has as another type."""
    if isinstance(model, msgspec.inspect.UnionType):
        (model,) = [t for t in model.types if not isinstance(t, msgspec.inspect.NoneType)]
    expected = {
        msgspec.inspect.StrType: "string",
        msgspec.inspect.BoolType: "boolean",
        msgspec.inspect.IntType: "integer",
        msgspec.inspect.VarTupleType: "array",
        msgspec.inspect.DictType: "object",
        msgspec.inspect.StructType: "object",
    }[type(model)]
    if schema.get("type") != expected:
        yield f"{path}: {expected} here, {schema.get('type')} in the definition"
    elif isinstance(model, msgspec.inspect.VarTupleType):
        yield from differences(model.item_type, schema["items"], path)
    elif isinstance(model, msgspec.inspect.StructType):
        for field in model.fields:
            below = f"{path}.{field.encode_name}"
            if field.encode_name not in schema["properties"]:
                yield f"{below}: not in the definition"
            elif below != ".metadata":
                yield from differences(field.type, schema["properties"][field.encode_name], below)


@pytest.mark.parametrize("plural", MODELS)
def test_our_structs_read_fields_that_the_definitions_have(plural: str) -> None:
    """No field is read under a name that the API server prunes."""
    crd = yaml.safe_load((CRDS / f"{plural}.yaml").read_text())
    (version,) = crd["spec"]["versions"]
    schema = version["schema"]["openAPIV3Schema"]
    model = msgspec.inspect.type_info(MODELS[plural])
    assert list(differences(model, schema, "")) == []


@pytest.mark.parametrize(
    ("component", "flags"), [("controller", CONTROLLER_FLAGS), ("speaker", SPEAKER_FLAGS)]
)
def test_every_argument_is_a_flag_of_its_program(component: str, flags: Any) -> None:
    """No pod fails at its start over an argument that the chart made up."""
    sources = ("_pod.tpl", f"{component}.yaml")
    text = "".join((CHART / "templates" / name).read_text() for name in sources)
    used = set(re.findall(r"^\s*- --([a-z0-9-]+)", text, re.MULTILINE))
    assert used
    assert used - {flag.name for flag in flags} == set()
    variables = set(re.findall(r"METALLB_[A-Z_]+(?=$)", text, re.MULTILINE))
    assert variables - {flag.env for flag in flags} - {BACKEND_ENV} == set()


@pytest.mark.rule("install-2.kubernetes")
def test_the_chart_asks_for_a_version_that_evaluates_the_rules_of_definitions() -> None:
    """Rules (CEL) inside definitions are evaluated from 1.25 on; older servers would drop them."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["kubeVersion"] == ">= 1.25.0-0"
    assert any("x-kubernetes-validations" in path.read_text() for path in CRDS.glob("*.yaml"))

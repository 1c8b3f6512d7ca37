"""Definitions of another version are told in one line; those of this one in none."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, cast

import msgspec
import pytest

from mercurylb.api.crd import crd
from mercurylb.api.definition import DEFINITIONS
from mercurylb.api.fields import field_paths
from mercurylb.api.ip_address_pool import IPAddressPool
from mercurylb.controller import definitions
from mercurylb.controller.definitions import DefinitionCheck, Difference, compare
from mercurylb.errors import Denied, KubeError, NotFound
from mercurylb.telemetry.metrics import Registry

if TYPE_CHECKING:
    from collections.abc import Callable

Json = dict[str, Any]
POOLS = "ipaddresspools.metallb.io v1beta1"


def described(
    change: Callable[[str, Json], bool] = lambda _kind, _schema: True,
) -> dict[str, bytes]:
    """Give the API server's description of the kinds of this version, each changed or left out."""
    found: dict[str, Json] = {"v1beta1": {}, "v1beta2": {}}
    for definition in DEFINITIONS:
        raw: Json = msgspec.json.decode(msgspec.json.encode(crd(definition)))
        for version in raw["spec"]["versions"]:
            schema = version["schema"]["openAPIV3Schema"]
            name = {"group": definition.group, "kind": definition.kind, "version": version["name"]}
            schema["x-kubernetes-group-version-kind"] = [name]
            if version["name"] in found and change(definition.kind, schema):
                found[version["name"]][f"io.{definition.kind}"] = schema
    return {
        version: json.dumps({"components": {"schemas": schemas}}).encode()
        for version, schemas in found.items()
    }


def older(kind: str, schema: Json) -> bool:
    """Take away a field, and one kind."""
    if kind == "IPAddressPool":
        del schema["properties"]["spec"]["properties"]["serviceAllocation"]
    return kind != "Community"


def newer(kind: str, schema: Json) -> bool:
    """Add a field that this version does not know."""
    if kind == "L2Advertisement":
        schema["properties"]["spec"]["properties"]["vlan"] = {"type": "integer"}
    return True


def test_fields_are_found_through_lists_and_options() -> None:
    """Paths are those an operator writes, whatever the types around them."""
    paths = field_paths(IPAddressPool)
    assert {"spec", "spec.addresses", "spec.serviceAllocation.namespaces", "status"} <= paths
    assert "spec.serviceAllocation.serviceSelectors[].matchExpressions[].operator" in paths
    assert not any(path.startswith("metadata") for path in paths)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda _kind, _schema: True, []),
        (
            older,
            [
                Difference(POOLS, lacking=("spec.serviceAllocation",)),
                Difference("communities.metallb.io v1beta1", is_missing=True),
            ],
        ),
        (newer, [Difference("l2advertisements.metallb.io v1beta1", unknown=("spec.vlan",))]),
    ],
    ids=["same", "older", "newer"],
)
def test_differences_are_found(
    change: Callable[[str, Json], bool], found: list[Difference]
) -> None:
    """What lacks, what is missing and what is unknown, named by its outermost field."""
    assert list(compare(described(change))) == found


def test_a_description_that_cannot_be_read_is_an_error_of_the_conversation() -> None:
    """Garbage raises nothing but our own error."""
    with pytest.raises(KubeError):
        list(compare({"v1beta1": b"[]"}))


class Server:
    """Describes its kinds, after a number of other answers."""

    def __init__(self, *answers: dict[str, bytes] | KubeError) -> None:
        self.answers = list(answers)

    async def read(self, path: str) -> bytes:
        """Give the next answer; the last one stays. Two versions are asked each time."""
        answer = self.answers[0]
        if isinstance(answer, KubeError):
            raise answer
        version = path.rpartition("/")[2]
        if version == "v1beta2" and len(self.answers) > 1:
            self.answers.pop(0)
        return answer[version]


def checked(monkeypatch: pytest.MonkeyPatch, *answers: dict[str, bytes] | KubeError) -> Registry:
    """Run a check to its end; give the metrics."""
    monkeypatch.setattr(definitions, "AGAIN_S", 0.0)
    registry = Registry()
    asyncio.run(DefinitionCheck(cast("Any", Server(*answers)), registry).run())
    return registry


def told(capsys: pytest.CaptureFixture[str]) -> list[Json]:
    """Give the lines that an operator sees."""
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [line for line in lines if line["level"] != "debug"]


def test_other_definitions_are_one_line_and_a_number(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line names kinds and fields, with what to do; the gauge counts them."""
    shown = checked(monkeypatch, described(older)).render().decode()
    assert f'mercurylb_definition_differences{{resource="{POOLS}"}} 1\n' in shown
    (line,) = told(capsys)
    assert line["event"] == "config.definitions_differ"
    assert line["lacking"] == [f"{POOLS} spec.serviceAllocation"]
    assert line["missing"] == ["communities.metallb.io v1beta1"]
    assert line["todo"]


@pytest.mark.parametrize(
    "answers",
    [
        (described(),),
        (described(older), described()),
        (Denied(403, "Forbidden", "no"),),
    ],
    ids=["same", "described late", "not told"],
)
def test_nothing_is_said_without_need(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    answers: tuple[dict[str, bytes] | KubeError, ...],
) -> None:
    """Neither when all is well, nor when the server is late, nor when it tells nothing."""
    checked(monkeypatch, *answers)
    assert told(capsys) == []


def test_a_group_that_is_not_there_is_missed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A cluster without any definition of ours lacks every kind."""
    checked(monkeypatch, NotFound(404, "NotFound", "no such group"))
    (line,) = told(capsys)
    assert len(line["missing"]) == 6

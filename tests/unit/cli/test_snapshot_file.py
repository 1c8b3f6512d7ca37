"""Snapshots: nothing secret in them, and what is written is read as the same cluster."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from mercurylb.cli.documents import parse_documents
from mercurylb.cli.files import read_documents, write_file
from mercurylb.cli.gathering import gather
from mercurylb.cli.inventory import take_inventory
from mercurylb.cli.loading import load_snapshot
from mercurylb.cli.packing import pack
from mercurylb.cli.redaction import redact
from tests.unit.cli.clusters import objects, snapshot_of

if TYPE_CHECKING:
    from pathlib import Path

APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
HEAD = {"name": "x", "namespace": "metallb-system"}


@pytest.mark.parametrize(
    "secret",
    [
        {"kind": "Secret", "metadata": HEAD, "type": "t", "data": {"password": "aHVudGVyMg=="}},
        {"kind": "Secret", "metadata": HEAD, "stringData": {"password": "hunter2"}},
        {"kind": "BGPPeer", "metadata": HEAD, "spec": {"password": "hunter2", "myASN": 1}},
        {"kind": "Service", "metadata": {**HEAD, "annotations": {APPLIED: "hunter2"}}},
        {"kind": "Service", "metadata": {**HEAD, "annotations": {"corp/token": "hunter2"}}},
        {"kind": "Service", "metadata": {**HEAD, "managedFields": [{"manager": "hunter2"}]}},
        {
            "kind": "Pod",
            "metadata": HEAD,
            "spec": {"containers": [{"env": [{"name": "TOKEN", "value": "hunter2"}]}]},
        },
        {
            "kind": "Deployment",
            "metadata": HEAD,
            "spec": {
                "template": {
                    "spec": {
                        "containers": [
                            {"env": [{"name": "METALLB_ML_SECRET_KEY", "value": "hunter2"}]}
                        ]
                    }
                }
            },
        },
        {"kind": "Node", "metadata": HEAD, "spec": {"providerID": "hunter2"}},
    ],
)
def test_no_secret_gets_into_a_snapshot(secret: dict[str, Any]) -> None:
    """Passwords, tokens and copies of whole objects stay where they are."""
    kept = json.dumps(redact({"apiVersion": "v1", **secret}))
    assert "hunter2" not in kept
    assert "aHVudGVyMg" not in kept


def test_what_decisions_read_is_kept() -> None:
    """Type and keys of secrets, our annotations, flags and the backend stay."""
    secret = redact({"kind": "Secret", "metadata": HEAD, "type": "t", "data": {"password": "eA=="}})
    assert (secret["type"], list(secret["data"])) == ("t", ["password"])
    peer = redact({"kind": "BGPPeer", "metadata": HEAD, "spec": {"password": "x", "myASN": 1}})
    assert peer["spec"] == {"password": "redacted", "myASN": 1}
    annotations = {"metallb.io/address-pool": "main", "metallb.universe.tf/x": "y"}
    kept = redact({"kind": "Service", "metadata": {**HEAD, "annotations": annotations}})
    assert kept["metadata"]["annotations"] == annotations
    container = {
        "name": "controller",
        "args": ["--lb-class=a"],
        "env": [{"name": "METALLB_BGP_TYPE", "value": "frr"}],
    }
    pod = redact({"kind": "Pod", "metadata": HEAD, "spec": {"containers": [container]}})
    assert pod["spec"]["containers"] == [container]


@pytest.mark.parametrize("name", ["a.json", "a.yaml", "a.json.gz", "a.yaml.gz", "a.yml"])
def test_a_snapshot_is_read_as_what_was_saved(tmp_path: Path, name: str) -> None:
    """In every form the same cluster comes back."""
    saved = [redact(item) for item in objects("pool-exhausted")]
    path = str(tmp_path / name)
    write_file(path, pack(saved, is_yaml=".y" in name))
    snapshot = load_snapshot(path, namespace="", lb_class=None)
    assert snapshot == snapshot_of(saved)
    assert [service.metadata.name for service in snapshot.services] == ["first", "second", "web"]
    assert snapshot.are_pods_known
    assert len(snapshot.speakers) == 3
    assert (snapshot.speakers[0].is_ready, snapshot.settings.namespace) == (True, "metallb-system")


def test_what_kubectl_prints_is_a_snapshot_too(tmp_path: Path) -> None:
    """`kubectl get … -o yaml` of the same kinds is read; without pods nothing is said of them."""
    items = [item for item in objects("announced") if item["kind"] != "Pod"]
    path = tmp_path / "all.yaml"
    path.write_bytes(pack(items, is_yaml=True).replace(b"mercurylb.io/snapshot", b"x"))
    snapshot = load_snapshot(str(path), namespace="", lb_class=None)
    assert (len(snapshot.services), len(snapshot.nodes), len(snapshot.pools)) == (1, 3, 1)
    assert not snapshot.are_pods_known


@pytest.mark.parametrize(
    ("items", "home"),
    [
        ([("ConfigurationState", "controller", "a"), ("IPAddressPool", "p", "b")], "a"),
        ([("IPAddressPool", "p", "b"), ("IPAddressPool", "q", "b"), ("Community", "r", "c")], "b"),
        ([], "metallb-system"),
    ],
)
def test_the_home_of_the_configuration_is_found(
    items: list[tuple[str, str, str]], home: str
) -> None:
    """The controller's own state says where it lives; else the objects do."""
    raws = [
        {"apiVersion": "metallb.io/v1beta1", "kind": k, "metadata": {"name": n, "namespace": s}}
        for k, n, s in items
    ]
    inventory = take_inventory(parse_documents(pack(raws, is_yaml=False), source="memory"))
    assert gather(inventory).settings.namespace == home
    assert gather(inventory, namespace="told").settings.namespace == "told"


def test_flags_of_the_programs_are_read_from_their_pods() -> None:
    """Class, backend and the excluded label's meaning come from how the programs run."""
    raws = objects("announced")
    for raw in raws:
        if raw["kind"] == "Pod" and raw["metadata"]["name"].startswith("metallb-controller"):
            raw["spec"]["containers"][0]["args"] = ["--lb-class=mine", "-ignore-exclude-lb"]
            raw["spec"]["containers"][0]["env"] = [{"name": "METALLB_BGP_TYPE", "value": "frr"}]
    inventory = take_inventory(parse_documents(pack(raws, is_yaml=False), source="memory"))
    settings = gather(inventory).settings
    assert (settings.lb_class, settings.backend, settings.ignore_exclude_lb) == (
        "mine",
        "frr",
        True,
    )
    assert gather(inventory, lb_class="").settings.lb_class == ""


def test_a_packed_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What unpacks to more than any snapshot is not unpacked whole."""
    monkeypatch.setattr("mercurylb.cli.files.JSON_BYTES_MAX", 10_000)
    path = str(tmp_path / "bomb.gz")
    write_file(path, b" " * 1_000_000)
    with pytest.raises(Exception, match="larger than"):
        read_documents(path)

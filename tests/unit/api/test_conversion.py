"""A BGPPeer means the same under both of its versions, as far as v1beta1 has words for it."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from mercurylb.api.conversion import convert_bgp_peer
from mercurylb.errors import ParseError

METADATA: dict[str, Any] = {
    "name": "peer1",
    "namespace": "metallb",
    "uid": "u-1",
    "resourceVersion": "7",
    "creationTimestamp": None,
    "labels": {"a": "b"},
    "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:spec": {}}}],
    "unknown": {"to": ["us"]},
}
FULL_V1BETA1: dict[str, Any] = {
    "myASN": 42,
    "peerASN": 142,
    "peerAddress": "192.0.2.4",
    "sourceAddress": "192.0.2.40",
    "peerPort": 1179,
    "holdTime": "180s",
    "keepaliveTime": "1s",
    "routerID": "192.0.2.41",
    "password": "swordfish",
    "bfdProfile": "fast",
    "ebgpMultiHop": True,
    "nodeSelectors": [
        {
            "matchLabels": {"rack": "a"},
            "matchExpressions": [{"key": "k", "operator": "In", "values": ["b", "c"]}],
        }
    ],
}
ONLY_V1BETA2: dict[str, Any] = {
    "passwordSecret": {"name": "s", "namespace": "n"},
    "localASN": 7,
    "dynamicASN": "internal",
    "interface": "eth0",
    "connectTime": "10s",
    "enableGracefulRestart": True,
    "vrf": "red",
    "disableMP": True,
    "dualStackAddressFamily": True,
}
TIMERS = {"holdTime": "0s", "keepaliveTime": "0s"}


def peer(version: str, spec: Any) -> dict[str, Any]:
    """Make a peer as the API server hands it over."""
    head = {"apiVersion": f"metallb.io/{version}", "kind": "BGPPeer"}
    return {**head, "metadata": METADATA, "spec": spec}


def upwards(spec: Any) -> Any:
    """Convert a spec from v1beta1 to v1beta2."""
    return convert_bgp_peer(peer("v1beta1", spec), to_version="v1beta2")["spec"]


def downwards(spec: Any) -> Any:
    """Convert a spec from v1beta2 to v1beta1."""
    return convert_bgp_peer(peer("v1beta2", spec), to_version="v1beta1")["spec"]


@pytest.mark.rule(
    "api-3.3.case-lossless", "api-3.3.up-fields", "api-3.3.down-fields", "api-3.3.durations"
)
def test_a_full_peer_survives_the_way_there_and_back() -> None:
    """Nothing of a v1beta1 peer is lost or changed in v1beta2."""
    assert upwards(FULL_V1BETA1) == FULL_V1BETA1
    assert downwards(upwards(FULL_V1BETA1)) == FULL_V1BETA1


@pytest.mark.rule("api-3.3.down-dropped", "api-3.3.case-secret")
def test_what_only_v1beta2_has_is_dropped() -> None:
    """The rest of the peer is not affected."""
    assert downwards(FULL_V1BETA1 | ONLY_V1BETA2) == FULL_V1BETA1


@pytest.mark.parametrize("field", ONLY_V1BETA2)
@pytest.mark.rule("api-3.3.up-rest")
def test_nothing_only_v1beta2_has_is_made_up(field: str) -> None:
    """A v1beta1 peer says nothing of it, even if somebody wrote it there."""
    assert field not in upwards(FULL_V1BETA1)
    assert field not in upwards({**FULL_V1BETA1, field: ONLY_V1BETA2[field]})


@pytest.mark.parametrize("version", ["v1beta1", "v1beta2"])
@pytest.mark.rule("api-3.3.metadata")
def test_everything_but_the_spec_is_handed_on(version: str) -> None:
    """Metadata is the same to the last field, also what we do not know; so is the status."""
    target = {"v1beta1": "v1beta2", "v1beta2": "v1beta1"}[version]
    item = peer(version, FULL_V1BETA1) | {"status": {}}
    before = copy.deepcopy(item)
    converted = convert_bgp_peer(item, to_version=target)
    assert converted == before | {"apiVersion": f"metallb.io/{target}"}
    assert item == before


@pytest.mark.parametrize("convert", [upwards, downwards])
@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ({}, {"holdTime": "0s", "keepaliveTime": "0s"}),
        ({"holdTime": "9s"}, {"holdTime": "9s", "keepaliveTime": "0s"}),
        ({"keepaliveTime": "3s"}, {"holdTime": "0s", "keepaliveTime": "3s"}),
        (
            {"holdTime": None, "keepaliveTime": "1m30s"},
            {"holdTime": "0s", "keepaliveTime": "1m30s"},
        ),
    ],
)
@pytest.mark.rule("api-3.3.up-timers", "api-3.3.down-timers")
def test_a_missing_timer_becomes_an_explicit_zero(
    convert: Any, written: dict[str, Any], expected: dict[str, str]
) -> None:
    """In both directions; a timer that is there stays as it is written."""
    spec = convert({"myASN": 1, "peerASN": 2, "peerAddress": "a", **written})
    assert spec == {"myASN": 1, "peerASN": 2, "peerAddress": "a", **expected}


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ({}, {}),
        ({"matchLabels": {}, "matchExpressions": []}, {}),
        ({"matchLabels": None}, {}),
        ({"matchLabels": {"a": "b"}}, {"matchLabels": {"a": "b"}}),
        (
            {"matchExpressions": [{"key": "k", "operator": "Exists", "values": []}]},
            {"matchExpressions": [{"key": "k", "operator": "Exists"}]},
        ),
        (
            {"matchExpressions": [{"key": "k", "operator": "NotIn", "values": ["a", "b"]}]},
            {"matchExpressions": [{"key": "k", "operator": "NotIn", "values": ["a", "b"]}]},
        ),
    ],
)
@pytest.mark.rule("api-3.3.up-selectors")
def test_node_selectors_to_v1beta2(written: dict[str, Any], expected: dict[str, Any]) -> None:
    """A selector that says nothing becomes the empty one, which matches every node."""
    assert upwards({"nodeSelectors": [written, written]})["nodeSelectors"] == [expected, expected]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ({}, {}),
        ({"matchLabels": {"a": "b"}}, {"matchLabels": {"a": "b"}}),
        (
            {"matchExpressions": [{"key": "k", "operator": "Exists"}]},
            {"matchExpressions": [{"key": "k", "operator": "Exists", "values": []}]},
        ),
    ],
)
@pytest.mark.rule("api-3.3.down-selectors")
def test_node_selectors_to_v1beta1(written: dict[str, Any], expected: dict[str, Any]) -> None:
    """A requirement always has values there, if only an empty list."""
    assert downwards({"nodeSelectors": [written]})["nodeSelectors"] == [expected]


@pytest.mark.parametrize("convert", [upwards, downwards])
@pytest.mark.parametrize("selectors", [{}, {"nodeSelectors": []}, {"nodeSelectors": None}])
@pytest.mark.rule("api-3.3.down-selectors")
def test_no_selectors_stay_none(convert: Any, selectors: dict[str, Any]) -> None:
    """All nodes are meant, before and after."""
    assert "nodeSelectors" not in convert(selectors)


@pytest.mark.parametrize(("written", "expected"), [({}, None), ({"peerPort": 0}, None)])
@pytest.mark.rule("api-3.3.up-rest")
def test_no_port_stays_no_port(written: dict[str, int], expected: int | None) -> None:
    """The default of v1beta2 is not for conversion to fill in, and its 0 would be refused."""
    assert upwards(written).get("peerPort") == expected


def test_an_empty_peer_gets_what_its_version_requires() -> None:
    """Required numbers are 0 and texts empty; the missing spec appears."""
    assert upwards(None) == {"myASN": 0, **TIMERS}
    assert downwards(None) == {"myASN": 0, "peerASN": 0, "peerAddress": "", **TIMERS}


@pytest.mark.parametrize("version", ["v1beta1", "v1beta2"])
def test_the_same_version_changes_nothing(version: str) -> None:
    """An object already there comes back as it is; the group may stand before the version."""
    item = peer(version, {"myASN": 1})
    assert convert_bgp_peer(item, to_version=f"metallb.io/{version}") == item


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("no", 'spec: expected an object, got "no"'),
        ([], "spec: expected an object, got `list`"),
        ({"myASN": "1"}, "spec.myASN: expected `int`, got `str`"),
        ({"myASN": True}, "spec.myASN: expected `int`, got `bool`"),
        ({"myASN": -1}, "spec.myASN: must be between 0 and 4294967295"),
        ({"peerASN": 2**32}, "spec.peerASN: must be between 0 and 4294967295"),
        ({"peerPort": 2**80}, "spec.peerPort: must be between 0 and 65535"),
        ({"holdTime": "soon"}, 'spec.holdTime: invalid duration "soon"'),
        ({"keepaliveTime": ""}, 'spec.keepaliveTime: invalid duration ""'),
        ({"ebgpMultiHop": "yes"}, "spec.ebgpMultiHop: expected `bool"),
        ({"nodeSelectors": {}}, "spec.nodeSelectors: expected `array"),
        ({"nodeSelectors": [{}, 7]}, "spec.nodeSelectors[1]: expected `object`, got `int`"),
        (
            {"nodeSelectors": [{"matchExpressions": [{"values": [1]}]}]},
            "spec.nodeSelectors[0].matchExpressions[0].values[0]: expected `str`, got `int`",
        ),
        (
            {"nodeSelectors": [{"matchLabels": {"a": 1}}]},
            "spec.nodeSelectors[0].matchLabels[...]: expected `str`, got `int`",
        ),
    ],
)
@pytest.mark.parametrize("convert", [upwards, downwards])
def test_nonsense_is_refused_with_its_field(convert: Any, spec: Any, message: str) -> None:
    """The refusal begins with the path of the field."""
    with pytest.raises(ParseError) as refusal:
        convert(spec)
    assert str(refusal.value).startswith(message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"apiVersion": "metallb.io/v1"}, "apiVersion: "),
        ({"apiVersion": "v1beta1x"}, "apiVersion: "),
        ({"apiVersion": None}, "apiVersion: "),
        ({"kind": "IPAddressPool"}, "kind: "),
        ({"kind": 7}, "kind: "),
        ({"metadata": None}, "metadata: "),
        ({"metadata": "x"}, "metadata: "),
    ],
)
def test_something_else_than_a_peer_is_refused(change: dict[str, Any], message: str) -> None:
    """Only BGPPeers of the two versions are converted."""
    with pytest.raises(ParseError) as refusal:
        convert_bgp_peer(peer("v1beta1", {}) | change, to_version="v1beta2")
    assert str(refusal.value).startswith(message)


@pytest.mark.parametrize("version", ["", "v1", "v1beta3", "metallb.io/", "other.io/v1beta2"])
def test_an_unknown_target_is_refused(version: str) -> None:
    """There is nothing to convert to."""
    with pytest.raises(ParseError, match="to_version"):
        convert_bgp_peer(peer("v1beta1", {}), to_version=version)

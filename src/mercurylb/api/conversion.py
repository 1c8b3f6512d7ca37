"""BGPPeer v1beta1 to v1beta2 and back, on objects as JSON has them.

v1beta2 is what is stored. Metadata is handed on as it is, fields of one name are copied as they
are written, and the rest follows spec: api §3.3. Only the spec's types, its durations and the
numbers' ranges are checked: whatever is served under one version can be asked for under the other.

What is only in v1beta2 is lost on the way to v1beta1, without a word: that is how MetalLB's API
has it, and why v1beta1 is deprecated.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from mercurylb.api.bgp_peer import BGPPeerSpec
from mercurylb.api.bgp_peer_v1beta1 import BGPPeerV1Beta1Spec, NodeSelector
from mercurylb.api.meta import GROUP, LabelSelector
from mercurylb.errors import ParseError
from mercurylb.values.address import quoted
from mercurylb.values.duration import parse_duration

V1BETA1: Final = "v1beta1"
V1BETA2: Final = "v1beta2"

_KIND: Final = "BGPPeer"
_COPIED: Final = (
    "myASN",
    "peerASN",
    "peerAddress",
    "sourceAddress",
    "peerPort",
    "routerID",
    "password",
    "bfdProfile",
    "ebgpMultiHop",
)
_DURATIONS: Final = ("holdTime", "keepaliveTime")
_MAXIMA: Final = {
    "myASN": 0xFFFF_FFFF,
    "peerASN": 0xFFFF_FFFF,
    "localASN": 0xFFFF_FFFF,
    "peerPort": 0xFFFF,
}
_SPECS: Final[Mapping[str, type[BGPPeerSpec | BGPPeerV1Beta1Spec]]] = {
    V1BETA1: BGPPeerV1Beta1Spec,
    V1BETA2: BGPPeerSpec,
}
_ZERO_DURATION: Final = "0s"


def convert_bgp_peer(item: Mapping[str, object], *, to_version: str) -> dict[str, object]:
    """Give the same peer under another version of its kind.

    `to_version` is `v1beta1` or `v1beta2`, with or without `metallb.io/` before it. Nothing of what
    is given is changed; parts may be shared with the result. Raises `ParseError`, its text
    beginning with the path of the field that is wrong.
    """
    target = _version_of(to_version, "to_version")
    source = _version_of(item.get("apiVersion"), "apiVersion")
    if item.get("kind") != _KIND:
        raise ParseError(f"kind: expected {_KIND}, got {_shown(item.get('kind'))}")
    if not isinstance(item.get("metadata"), Mapping):
        raise ParseError("metadata: expected an object")
    written = _written_fields(item)
    spec = _read_spec(written, source)
    if source == target:
        return dict(item)
    converted = dict(item)
    converted["apiVersion"] = f"{GROUP}/{target}"
    converted["spec"] = (
        _spec_v1beta2(written, spec)
        if isinstance(spec, BGPPeerV1Beta1Spec)
        else _spec_v1beta1(written, spec)
    )
    return converted


def _shown(value: object) -> str:
    """Give a value for a message, short whatever it is."""
    return quoted(value) if isinstance(value, str) else f"`{type(value).__name__}`"


def _version_of(text: object, field: str) -> str:
    version = text.removeprefix(f"{GROUP}/") if isinstance(text, str) else ""
    if version not in _SPECS:
        raise ParseError(f"{field}: {_shown(text)} is no version of {_KIND}")
    return version


def _written_fields(item: Mapping[str, object]) -> dict[str, object]:
    """Give the spec's fields without those that are null, which mean nothing."""
    spec = item.get("spec")
    if spec is None:
        return {}
    if not isinstance(spec, Mapping):
        raise ParseError(f"spec: expected an object, got {_shown(spec)}")
    return {name: value for name, value in spec.items() if value is not None}


def _read_spec(written: Mapping[str, object], version: str) -> BGPPeerSpec | BGPPeerV1Beta1Spec:
    try:
        spec = msgspec.convert(written, _SPECS[version])
    except msgspec.ValidationError as error:
        raise ParseError(_with_path_first(str(error))) from error
    except (ValueError, RecursionError) as error:
        raise ParseError(f"spec: {error}") from error
    for name, maximum in _MAXIMA.items():
        number = written.get(name, 0)
        if isinstance(number, int) and not 0 <= number <= maximum:
            raise ParseError(f"spec.{name}: must be between 0 and {maximum}")
    for name in _DURATIONS:
        if name in written:
            _check_duration(f"spec.{name}", str(written[name]))
    return spec


def _check_duration(field: str, text: str) -> None:
    try:
        parse_duration(text)
    except ParseError as error:
        raise ParseError(f"{field}: {error}") from error


def _spec_v1beta2(written: Mapping[str, object], spec: BGPPeerV1Beta1Spec) -> dict[str, object]:
    converted: dict[str, object] = {"myASN": 0, **_copied(written)}
    if not spec.peer_port:
        # A written 0 would be refused at each later update; left out, it gets its default.
        converted.pop("peerPort", None)
    if spec.node_selectors:
        converted["nodeSelectors"] = [_selector_v1beta2(each) for each in spec.node_selectors]
    return converted


def _spec_v1beta1(written: Mapping[str, object], spec: BGPPeerSpec) -> dict[str, object]:
    converted = {"myASN": 0, "peerASN": 0, "peerAddress": "", **_copied(written)}
    if spec.node_selectors:
        converted["nodeSelectors"] = [_selector_v1beta1(each) for each in spec.node_selectors]
    return converted


def _copied(written: Mapping[str, object]) -> dict[str, object]:
    """Give the fields both versions have and read alike; a missing timer is written out as 0s."""
    copied = {name: written[name] for name in _COPIED if name in written}
    return copied | {name: written.get(name, _ZERO_DURATION) for name in _DURATIONS}


def _selector_v1beta2(selector: NodeSelector) -> dict[str, object]:
    converted: dict[str, object] = {}
    if selector.match_labels:
        converted["matchLabels"] = selector.match_labels
    if selector.match_expressions:
        converted["matchExpressions"] = [
            {"key": each.key, "operator": each.operator}
            | ({"values": list(each.values)} if each.values else {})
            for each in selector.match_expressions
        ]
    return converted


def _selector_v1beta1(selector: LabelSelector) -> dict[str, object]:
    """Give a selector whose requirements all have values, as v1beta1 wants them, if empty ones."""
    converted: dict[str, object] = {}
    if selector.match_labels:
        converted["matchLabels"] = selector.match_labels
    if selector.match_expressions:
        converted["matchExpressions"] = [
            {"key": each.key, "operator": each.operator, "values": list(each.values or ())}
            for each in selector.match_expressions
        ]
    return converted


def _with_path_first(message: str) -> str:
    """Turn msgspec's "…, got `str` - at `$.peerPort`" into "spec.peerPort: …, got `str`"."""
    text, _, path = message.partition(" - at `")
    inner = path.removeprefix("key` in `").removesuffix("`").removeprefix("$")
    return f"spec{inner}: {text[:1].lower()}{text[1:]}"

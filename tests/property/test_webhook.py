"""Whatever reaches the webhooks' decoders, they raise our own error or none at all."""

from __future__ import annotations

import contextlib
import json

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from mercurylb.errors import WireError
from mercurylb.webhook.bundle import decode_bundle
from mercurylb.webhook.forge import examine
from mercurylb.webhook.review import decode_admission, decode_conversion
from mercurylb.webhook.rotation import KEYS
from mercurylb.webhook.target import CONFIGURATIONS, DEFINITIONS, target_of

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner),
    max_leaves=12,
)
REVIEWS = st.fixed_dictionaries(
    {
        "apiVersion": st.sampled_from(["admission.k8s.io/v1", "apiextensions.k8s.io/v1", "x"]),
        "kind": st.sampled_from(["AdmissionReview", "ConversionReview", ""]),
        "request": JSON
        | st.fixed_dictionaries(
            {},
            optional={
                "uid": st.text(max_size=5) | JSON,
                "objects": JSON,
                "object": JSON,
                "oldObject": JSON,
                "kind": JSON,
                "operation": JSON,
            },
        ),
    }
)


@given(st.binary(max_size=200) | REVIEWS.map(lambda value: json.dumps(value).encode()))
def test_reviews(body: bytes) -> None:
    """Bytes of any kind, and reviews with anything inside."""
    for decode in (decode_admission, decode_conversion):
        with contextlib.suppress(WireError):
            decode(body)


@given(st.none() | st.text(max_size=300))
def test_bundles(text: str | None) -> None:
    """Any text is a bundle, if an empty one."""
    assert isinstance(decode_bundle(text), tuple)


@given(JSON)
def test_targets(value: object) -> None:
    """An object of the right shape has a target; the decoder refuses the others."""
    body = json.dumps({"metadata": {"name": "x"}, "webhooks": value, "spec": value})
    for resource in (CONFIGURATIONS, DEFINITIONS):
        with contextlib.suppress(msgspec.ValidationError):
            target_of(resource.decoder.decode(body))


MARKED = st.binary(max_size=60).map(
    lambda data: b"-----BEGIN CERTIFICATE-----\n" + data + b"\n-----END CERTIFICATE-----\n"
)


@given(st.dictionaries(st.sampled_from(KEYS), st.binary(max_size=80) | MARKED))
def test_secrets(contents: dict[str, bytes]) -> None:
    """A secret with anything in it is looked at, and found wanting."""
    facts = examine(contents, "a.b.svc")
    assert facts.authority.defect

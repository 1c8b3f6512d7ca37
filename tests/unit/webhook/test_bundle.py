"""Reading and writing `caBundle`, and the patches that carry it."""

from __future__ import annotations

import base64
import json
import ssl

import pytest

from mercurylb.kube.operation import Verb
from mercurylb.telemetry.selfsigned import make_pem
from mercurylb.webhook.bundle import CERTIFICATES_MAX, decode_bundle, encode_bundle
from mercurylb.webhook.target import (
    CONFIGURATIONS,
    DEFINITIONS,
    Definition,
    WebhookConfiguration,
    injection,
    target_of,
)


def der() -> bytes:
    """Make a certificate."""
    pem = make_pem().decode()
    return ssl.PEM_cert_to_DER_cert(pem[: pem.index("-----END") + 25])


ONE, TWO = der(), der()
TEXT = encode_bundle((ONE,))


def b64(text: str) -> str:
    """Encode as the API does."""
    return base64.b64encode(text.encode()).decode()


def test_a_bundle_comes_back_as_it_was() -> None:
    """In the same order, without repetition."""
    assert decode_bundle(encode_bundle((ONE, TWO))) == (ONE, TWO)
    assert decode_bundle(encode_bundle((ONE, ONE))) == (ONE,)


@pytest.mark.parametrize(
    "text",
    [None, "", "Cg==", "%%%", "AAAA", b64("-----BEGIN CERTIFICATE-----\nAAAA\n-----END")],
)
def test_rubbish_is_an_empty_bundle(text: str | None) -> None:
    """The API server could verify nobody with it either."""
    assert decode_bundle(text) == ()


def test_rubbish_beside_a_certificate_is_left_out() -> None:
    """What can be read is read."""
    pem = ssl.DER_cert_to_PEM_cert(ONE)
    wrong = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    assert decode_bundle(b64(f"hello\n{wrong}{pem}{wrong}")) == (ONE,)


def test_a_huge_bundle_is_cut() -> None:
    """A whole trust store is not carried around."""
    text = encode_bundle(tuple(der() for _ in range(CERTIFICATES_MAX + 2)))
    assert len(decode_bundle(text)) == CERTIFICATES_MAX


def configuration(*texts: str | None) -> WebhookConfiguration:
    """Decode a configuration with these bundles, as the API server gives it."""
    hooks = [
        {"name": f"h{index}", "clientConfig": {} if text is None else {"caBundle": text}}
        for index, text in enumerate(texts)
    ]
    metadata = {"name": "metallb-webhook-configuration", "resourceVersion": "7"}
    body = {"metadata": metadata, "webhooks": hooks}
    return CONFIGURATIONS.decoder.decode(json.dumps(body))


def definition(conversion: object) -> Definition:
    """Decode a definition with a conversion."""
    metadata = {"name": "bgppeers.metallb.io", "resourceVersion": "8"}
    body = {"metadata": metadata, "spec": {"group": "metallb.io", "conversion": conversion}}
    return DEFINITIONS.decoder.decode(json.dumps(body))


def test_a_configuration_has_a_field_per_webhook() -> None:
    """A missing field is an empty one, and rubbish is seen."""
    assert target_of(configuration(TEXT, None)).bundles == ((ONE,), ())
    assert target_of(configuration(TEXT, TEXT)).is_clean
    assert not target_of(configuration(TEXT, b64("x"))).is_clean


@pytest.mark.parametrize(
    ("conversion", "bundles"),
    [
        (None, ()),
        ({"strategy": "None"}, ()),
        ({"strategy": "None", "webhook": {"clientConfig": {"caBundle": TEXT}}}, ()),
        ({"strategy": "Webhook"}, ()),
        ({"strategy": "Webhook", "webhook": {}}, ((),)),
        ({"strategy": "Webhook", "webhook": {"clientConfig": {"caBundle": TEXT}}}, ((ONE,),)),
    ],
)
def test_a_definition_has_a_field_if_a_webhook_converts(
    conversion: object, bundles: tuple[tuple[bytes, ...], ...]
) -> None:
    """Under another strategy the API server would refuse one."""
    assert target_of(definition(conversion)).bundles == bundles


@pytest.mark.rule("config-11.3.injection")
def test_only_our_fields_are_applied() -> None:
    """Server-side apply under the original's field owner, bound to what was looked at."""
    patch = injection(configuration("", ""), (ONE,))
    assert (patch.verb, patch.field_manager) == (Verb.APPLY, "MetalLB")
    body = json.loads(patch.body)
    assert body["metadata"] == {
        "name": "metallb-webhook-configuration",
        "resourceVersion": "7",
    }
    assert body["webhooks"] == [
        {"name": "h0", "clientConfig": {"caBundle": TEXT}},
        {"name": "h1", "clientConfig": {"caBundle": TEXT}},
    ]
    patch = injection(definition({"strategy": "Webhook", "webhook": {}}), (ONE,))
    assert (patch.verb, patch.field_manager) == (Verb.APPLY, "MetalLB")
    assert json.loads(patch.body)["spec"] == {
        "conversion": {"webhook": {"clientConfig": {"caBundle": TEXT}}}
    }

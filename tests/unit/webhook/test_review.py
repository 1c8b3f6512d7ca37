"""Reviews on the wire."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mercurylb.errors import WireError
from mercurylb.webhook.review import (
    TEXT_MAX,
    AdmissionAnswer,
    decode_admission,
    decode_conversion,
    encode_admission,
    encode_conversion,
    encode_conversion_failure,
)

ADMISSION: dict[str, Any] = {
    "apiVersion": "admission.k8s.io/v1",
    "kind": "AdmissionReview",
    "request": {
        "uid": "u1",
        "kind": {"group": "metallb.io", "version": "v1beta1", "kind": "IPAddressPool"},
        "resource": {"group": "metallb.io", "version": "v1beta1", "resource": "ipaddresspools"},
        "name": "a",
        "namespace": "metallb",
        "operation": "CREATE",
        "userInfo": {"username": "x"},
        "object": {"spec": {}},
        "oldObject": None,
        "dryRun": False,
    },
}
CONVERSION: dict[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1beta1",
    "kind": "ConversionReview",
    "request": {"uid": "u2", "desiredAPIVersion": "metallb.io/v1beta1", "objects": [{"a": 1}]},
}


def test_an_admission_is_read_as_the_api_server_writes_it() -> None:
    """Unknown fields are passed over, objects stay as they came."""
    request = decode_admission(json.dumps(ADMISSION).encode())
    assert (request.uid, request.operation, request.kind.kind) == ("u1", "CREATE", "IPAddressPool")
    assert json.loads(bytes(request.object)) == {"spec": {}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "Review"}, "no AdmissionReview of admission.k8s.io/v1"),
        ({"apiVersion": "admission.k8s.io/v1beta1"}, "no AdmissionReview of admission.k8s.io/v1"),
        ({"request": None}, "request.uid is missing"),
        ({"request": {}}, "request.uid is missing"),
        ({"request": {"uid": ""}}, "request.uid is missing"),
        ({"request": {"uid": 7}}, "request.uid"),
        ({"request": []}, "no AdmissionReview"),
    ],
)
def test_what_is_no_admission_is_refused(change: dict[str, Any], message: str) -> None:
    """An answer without the question's id would be of no use to anybody."""
    with pytest.raises(WireError, match=message):
        decode_admission(json.dumps(ADMISSION | change).encode())


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b'"x"', b"[" * 100_000])
def test_what_is_no_json_is_refused(body: bytes) -> None:
    """Truncated, deep or binary: one error of ours."""
    for decode in (decode_admission, decode_conversion):
        with pytest.raises(WireError):
            decode(body)


def test_yes_and_no() -> None:
    """A refusal carries code, reason and text; a warning comes along with a yes."""
    no = json.loads(encode_admission("u1", AdmissionAnswer(403, "because")))
    assert no == {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "response": {
            "uid": "u1",
            "allowed": False,
            "status": {
                "code": 403,
                "reason": "Forbidden",
                "status": "Failure",
                "message": "because",
            },
        },
    }
    yes = json.loads(encode_admission("u1", AdmissionAnswer(warnings=("mind",))))
    assert yes["response"] == {
        "uid": "u1",
        "allowed": True,
        "status": {"code": 200},
        "warnings": ["mind"],
    }


def test_a_text_is_bounded() -> None:
    """Thousands of problems do not make an answer that the API server cannot take."""
    text = json.loads(encode_admission("u", AdmissionAnswer(403, "é" * 10**6)))
    assert len(text["response"]["status"]["message"]) <= TEXT_MAX + 2


@pytest.mark.parametrize("version", ["apiextensions.k8s.io/v1", "apiextensions.k8s.io/v1beta1"])
def test_a_conversion_is_answered_in_its_own_version(version: str) -> None:
    """The definition offers v1beta1 first, so that is what the API server sends."""
    question = decode_conversion(json.dumps(CONVERSION | {"apiVersion": version}).encode())
    assert question.request.desired_version == "metallb.io/v1beta1"
    done = json.loads(encode_conversion(question, [{"b": 2}]))
    assert done["apiVersion"] == version
    assert done["response"] == {
        "uid": "u2",
        "convertedObjects": [{"b": 2}],
        "result": {"status": "Success"},
    }
    failed = json.loads(encode_conversion_failure(question, "why"))["response"]
    assert failed["result"] == {"status": "Failed", "message": "why"}
    assert failed["convertedObjects"] == []

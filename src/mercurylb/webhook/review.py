"""The wire form of what the API server asks and hears: AdmissionReview v1 and ConversionReview v1.

Decoders raise only WireError. Objects stay raw: whether one can be read is part of the answer, not
a reason to have none.
"""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec

from mercurylb.errors import WireError

ADMISSION_VERSION: Final = "admission.k8s.io/v1"
CONVERSION_VERSION: Final = "apiextensions.k8s.io/v1"
_ADMISSION_KIND: Final = "AdmissionReview"
_CONVERSION_KIND: Final = "ConversionReview"
_REASONS: Final = {400: "BadRequest", 403: "Forbidden", 503: "ServiceUnavailable"}
TEXT_MAX: Final = 16_384
"""Bytes of a message: the API server hands it to a person."""


class Kind(msgspec.Struct, frozen=True):
    """Which kind of object the webhook was registered for."""

    group: str = ""
    version: str = ""
    kind: str = ""


class AdmissionRequest(msgspec.Struct, frozen=True, rename="camel"):
    """One question: may this happen?"""

    uid: str = ""
    kind: Kind = Kind()
    operation: str = ""
    name: str = ""
    namespace: str = ""
    object: msgspec.Raw = msgspec.Raw()
    old_object: msgspec.Raw = msgspec.Raw()


class AdmissionAnswer(msgspec.Struct, frozen=True):
    """Yes, or no with a status code and a text for people."""

    code: int = 200
    message: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def is_allowed(self) -> bool:
        """Tell whether it may happen."""
        return self.code == 200  # noqa: PLR2004 (HTTP: fine)


class ConversionRequest(msgspec.Struct, frozen=True):
    """One question: what are these objects in that version?"""

    uid: str = ""
    desired_version: str = msgspec.field(default="", name="desiredAPIVersion")
    objects: tuple[msgspec.Raw, ...] = ()


class _AdmissionReview(msgspec.Struct, frozen=True, rename="camel"):
    api_version: str = ""
    kind: str = ""
    request: AdmissionRequest | None = None


class _ConversionReview(msgspec.Struct, frozen=True, rename="camel"):
    api_version: str = ""
    kind: str = ""
    request: ConversionRequest | None = None


_ADMISSIONS: Final = msgspec.json.Decoder(_AdmissionReview)
_CONVERSIONS: Final = msgspec.json.Decoder(_ConversionReview)
_Review = TypeVar("_Review", _AdmissionReview, _ConversionReview)


def decode_admission(body: bytes) -> AdmissionRequest:
    """Decode an AdmissionReview's request; raise WireError when it is none."""
    review = _decoded(_ADMISSIONS, body, _ADMISSION_KIND, ADMISSION_VERSION)
    if review.request is None or not review.request.uid:
        raise WireError(_ADMISSION_KIND, "request.uid is missing")
    return review.request


def decode_conversion(body: bytes) -> ConversionRequest:
    """Decode a ConversionReview's request; raise WireError when it is none."""
    review = _decoded(_CONVERSIONS, body, _CONVERSION_KIND, CONVERSION_VERSION)
    if review.request is None or not review.request.uid:
        raise WireError(_CONVERSION_KIND, "request.uid is missing")
    return review.request


def encode_admission(uid: str, answer: AdmissionAnswer) -> bytes:
    """Encode the answer to an AdmissionRequest."""
    response: dict[str, object] = {"uid": uid, "allowed": answer.is_allowed}
    status: dict[str, object] = {"code": answer.code}
    if not answer.is_allowed:
        reason = _REASONS.get(answer.code, "")
        status |= {"status": "Failure", "message": bounded(answer.message), "reason": reason}
    response["status"] = status
    if answer.warnings:
        response["warnings"] = answer.warnings
    return _encoded(_ADMISSION_KIND, ADMISSION_VERSION, response)


def encode_conversion(uid: str, objects: list[object]) -> bytes:
    """Encode converted objects, in the order they were asked for."""
    response: dict[str, object] = {
        "uid": uid,
        "convertedObjects": objects,
        "result": {"status": "Success"},
    }
    return _encoded(_CONVERSION_KIND, CONVERSION_VERSION, response)


def encode_conversion_failure(uid: str, message: str) -> bytes:
    """Encode that the objects cannot be converted, and why."""
    result = {"status": "Failed", "message": bounded(message)}
    response: dict[str, object] = {"uid": uid, "convertedObjects": (), "result": result}
    return _encoded(_CONVERSION_KIND, CONVERSION_VERSION, response)


def bounded(text: str) -> str:
    """Cut a text that is too long for people."""
    return text if len(text) <= TEXT_MAX else text[:TEXT_MAX] + " …"


def is_absent(raw: msgspec.Raw) -> bool:
    """Tell whether an object was left out or null."""
    return bytes(raw).strip() in {b"", b"null"}


def _decoded(
    decoder: msgspec.json.Decoder[_Review], body: bytes, kind: str, version: str
) -> _Review:
    try:
        review = decoder.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise WireError(kind, f"the body is no {kind}: {error}") from error
    if review.kind != kind or review.api_version != version:
        raise WireError(kind, f"the body is no {kind} of {version}")
    return review


def _encoded(kind: str, version: str, response: dict[str, object]) -> bytes:
    return msgspec.json.encode({"apiVersion": version, "kind": kind, "response": response})

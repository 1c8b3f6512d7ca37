"""The wire form of what the API server asks and hears: AdmissionReview and ConversionReview.

An AdmissionReview is of v1. A ConversionReview is of v1beta1, because the definition of BGPPeer
offers `v1beta1` and `v1beta2` and the API server takes the first that it knows; v1 has the same
shape and is answered as well.

Decoders raise only WireError. Objects stay raw: whether one can be read is part of the answer, not
a reason to have none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from mercurylb.errors import WireError

if TYPE_CHECKING:
    from collections.abc import Mapping

ADMISSION_VERSION: Final = "admission.k8s.io/v1"
CONVERSION_VERSIONS: Final = ("apiextensions.k8s.io/v1", "apiextensions.k8s.io/v1beta1")
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


class ConversionQuestion(msgspec.Struct, frozen=True):
    """A ConversionRequest with the version that it came in, which is that of the answer."""

    version: str
    request: ConversionRequest


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
    review = _decoded(_ADMISSIONS, body, _ADMISSION_KIND, (ADMISSION_VERSION,))
    if review.request is None or not review.request.uid:
        raise WireError(_ADMISSION_KIND, "request.uid is missing")
    return review.request


def decode_conversion(body: bytes) -> ConversionQuestion:
    """Decode a ConversionReview's request; raise WireError when it is none."""
    review = _decoded(_CONVERSIONS, body, _CONVERSION_KIND, CONVERSION_VERSIONS)
    if review.request is None or not review.request.uid:
        raise WireError(_CONVERSION_KIND, "request.uid is missing")
    return ConversionQuestion(review.api_version, review.request)


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


def encode_conversion(question: ConversionQuestion, objects: list[object]) -> bytes:
    """Encode converted objects, in the order they were asked for."""
    return _encoded_conversion(question, objects, {"status": "Success"})


def encode_conversion_failure(question: ConversionQuestion, message: str) -> bytes:
    """Encode that the objects cannot be converted, and why."""
    return _encoded_conversion(question, [], {"status": "Failed", "message": bounded(message)})


def _encoded_conversion(
    question: ConversionQuestion, objects: list[object], result: dict[str, str]
) -> bytes:
    response = {"uid": question.request.uid, "convertedObjects": objects, "result": result}
    return _encoded(_CONVERSION_KIND, question.version, response)


def bounded(text: str) -> str:
    """Cut a text that is too long for people."""
    return text if len(text) <= TEXT_MAX else text[:TEXT_MAX] + " …"


def is_absent(raw: msgspec.Raw) -> bool:
    """Tell whether an object was left out or null."""
    return bytes(raw).strip() in {b"", b"null"}


def _decoded(
    decoder: msgspec.json.Decoder[_Review], body: bytes, kind: str, versions: tuple[str, ...]
) -> _Review:
    try:
        review = decoder.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise WireError(kind, f"the body is no {kind}: {error}") from error
    if review.kind != kind or review.api_version not in versions:
        raise WireError(kind, f"the body is no {kind} of {versions[0]}")
    return review


def _encoded(kind: str, version: str, response: Mapping[str, object]) -> bytes:
    return msgspec.json.encode({"apiVersion": version, "kind": kind, "response": response})

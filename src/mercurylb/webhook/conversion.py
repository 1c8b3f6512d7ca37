"""Answers the API server's questions for BGPPeer in another version, `/convert`.

All objects of a review are converted, or none: that is the API's contract. One object is held in
its loose form at a time, and long reviews let others in between.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import msgspec

from mercurylb.api.conversion import convert_bgp_peer
from mercurylb.errors import ParseError
from mercurylb.telemetry import logs as log
from mercurylb.webhook.review import (
    decode_conversion,
    encode_conversion,
    encode_conversion_failure,
)

if TYPE_CHECKING:
    from mercurylb.webhook.review import ConversionRequest

PATH: Final = "/convert"
OBJECTS_AT_A_TIME: Final = 100
_LOOSE: Final = msgspec.json.Decoder(dict[str, object])


async def convert(body: bytes, _patience_s: float) -> bytes:
    """Answer a review; raise WireError when the body is none."""
    question = decode_conversion(body)
    try:
        return encode_conversion(question, await _converted(question.request))
    except ParseError as error:
        log.warning("webhook.conversion_failed", reason=str(error))
        return encode_conversion_failure(question, str(error))


async def _converted(request: ConversionRequest) -> list[object]:
    found: list[object] = []
    for index, raw in enumerate(request.objects):
        try:
            loose = _LOOSE.decode(raw)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise ParseError(f"objects[{index}]: {error}") from error
        try:
            converted = convert_bgp_peer(loose, to_version=request.desired_version)
        except ParseError as error:
            raise ParseError(f"objects[{index}] {_name_of(loose)}: {error}") from error
        found.append(msgspec.Raw(msgspec.json.encode(converted)))
        if index % OBJECTS_AT_A_TIME == OBJECTS_AT_A_TIME - 1:
            await asyncio.sleep(0)
    return found


def _name_of(loose: dict[str, object]) -> str:
    metadata = loose.get("metadata")
    name = metadata.get("name", "") if isinstance(metadata, dict) else ""
    return str(name)[:253]

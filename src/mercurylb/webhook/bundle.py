"""Authorities as the API server keeps them: `caBundle`, PEM in base64.

A bundle is a tuple of DER certificates without repetition. Text that is none, and certificates
that do not parse, are left out: the API server could not verify anybody with them.
"""

from __future__ import annotations

import base64
import binascii
import re
import ssl
from typing import Final

BUNDLE_BYTES_MAX: Final = 262_144
CERTIFICATES_MAX: Final = 16
_BLOCK: Final = re.compile(
    rb"-----BEGIN CERTIFICATE-----(.{0,65536}?)-----END CERTIFICATE-----", re.DOTALL
)

Bundle = tuple[bytes, ...]


def decode_bundle(text: str | None) -> Bundle:
    """Decode a `caBundle`; what cannot be read is left out."""
    try:
        pem = base64.b64decode((text or "")[:BUNDLE_BYTES_MAX])
    except (binascii.Error, ValueError):
        return ()
    found: dict[bytes, None] = {}
    for block in _BLOCK.findall(pem):
        if len(found) == CERTIFICATES_MAX:
            break
        try:
            der = base64.b64decode(block)
        except (binascii.Error, ValueError):
            continue
        if _is_certificate(der):
            found[der] = None
    return tuple(found)


def encode_bundle(bundle: Bundle) -> str:
    """Encode a `caBundle`."""
    pem = "".join(map(ssl.DER_cert_to_PEM_cert, bundle))
    return base64.b64encode(pem.encode()).decode()


def _is_certificate(der: bytes) -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=der)
    except (ssl.SSLError, ValueError):
        return False
    return True

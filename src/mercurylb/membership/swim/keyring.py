"""The key of the membership, as MetalLB 0.16.2 makes it."""

from __future__ import annotations

import hashlib


def derive_key(secret: bytes) -> bytes:
    """Return the AES-256 key of a secret, taken as it stands in its file; empty for none."""
    return hashlib.sha256(secret).digest() if secret else b""

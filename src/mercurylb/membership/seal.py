"""What the pure machines of this room are given from outside: a cipher, and chance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import MutableSequence, Sequence

NONCE_SIZE = 12
TAG_SIZE = 16

T = TypeVar("T")


class Seal(Protocol):
    """AES-GCM under one key (NIST SP 800-38D); the tag of `TAG_SIZE` ends the ciphertext."""

    def encrypt(self, nonce: bytes, plain: bytes, associated: bytes) -> bytes:
        """Return ciphertext and tag."""

    def decrypt(self, nonce: bytes, sealed: bytes, associated: bytes) -> bytes:
        """Return the plain text; raise WireError when the tag does not fit."""


class Chance(Protocol):
    """The part of `random.Random` that the machines use."""

    def random(self) -> float:
        """Return a number in [0, 1)."""

    def randrange(self, stop: int, /) -> int:
        """Return a whole number in [0, stop)."""

    def randbytes(self, n: int, /) -> bytes:
        """Return n bytes."""

    def shuffle(self, x: MutableSequence[T], /) -> None:
        """Put into random order."""

    def sample(self, population: Sequence[T], k: int) -> list[T]:
        """Return k different elements."""

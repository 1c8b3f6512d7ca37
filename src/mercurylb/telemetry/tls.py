"""The TLS flags of the original, and a server's TLS context made from them.

Names are Go's (`VersionTLS13`, `TLS_ECDHE_…`); cipher suites apply to TLS 1.2 only, TLS 1.3 has
its own that cannot be chosen. Key-exchange groups are IANA's numbers.

OpenSSL through Python takes one group only (before Python 3.15): a single number is set, a list
that OpenSSL's own default covers is left to that default, which prefers X25519 and knows the NIST
curves.
"""

from __future__ import annotations

import ssl
from typing import Protocol

import msgspec

from mercurylb.telemetry.flags import FlagError

_VERSIONS = {
    "VersionTLS10": ssl.TLSVersion.TLSv1,
    "VersionTLS11": ssl.TLSVersion.TLSv1_1,
    "VersionTLS12": ssl.TLSVersion.TLSv1_2,
    "VersionTLS13": ssl.TLSVersion.TLSv1_3,
}
DEFAULT_MIN_VERSION = "VersionTLS13"
_TLS13_SUITES = frozenset(
    {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}
)
_SUITES = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256": "ECDHE-ECDSA-AES128-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256": "ECDHE-RSA-AES128-SHA256",
    "TLS_RSA_WITH_AES_128_GCM_SHA256": "AES128-GCM-SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384": "AES256-GCM-SHA384",
    "TLS_RSA_WITH_AES_128_CBC_SHA": "AES128-SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA": "AES256-SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA256": "AES128-SHA256",
}
_CURVES = {23: "prime256v1", 24: "secp384r1", 25: "secp521r1", 29: "X25519", 4588: ""}
"""4588 is X25519MLKEM768, which OpenSSL before 3.5 does not have and Python cannot name."""
_CURVE_MAX = 65_535


class TlsOptions(msgspec.Struct, frozen=True):
    """What the three flags say, checked."""

    min_version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
    ciphers: str = ""
    """OpenSSL's names, joined; empty for OpenSSL's default."""
    curves: tuple[int, ...] = ()


class TlsSettings(Protocol):
    """The part of a program's settings that is about TLS."""

    @property
    def tls_min_version(self) -> str:
        """Value of its flag."""

    @property
    def tls_cipher_suites(self) -> str:
        """Value of its flag."""

    @property
    def tls_curve_preferences(self) -> str:
        """Value of its flag."""


def tls_options_of(settings: TlsSettings) -> TlsOptions:
    """Parse a program's TLS flags; raise FlagError for the first that cannot be used."""
    return parse_tls_options(
        min_version=settings.tls_min_version,
        cipher_suites=settings.tls_cipher_suites,
        curve_preferences=settings.tls_curve_preferences,
    )


def parse_tls_options(
    *, min_version: str = "", cipher_suites: str = "", curve_preferences: str = ""
) -> TlsOptions:
    """Parse the values of the TLS flags; raise FlagError for the first that cannot be used."""
    return TlsOptions(
        min_version=_parse_version(min_version),
        ciphers=_parse_ciphers(cipher_suites),
        curves=_parse_curves(curve_preferences),
    )


def server_context(options: TlsOptions) -> ssl.SSLContext:
    """Make a server's context; the certificate is loaded by whoever has it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # What OpenSSL is built without or policy forbids cannot be lowered by a flag.
    context.minimum_version = options.min_version
    if options.ciphers:
        context.set_ciphers(options.ciphers)
    names = [_CURVES[curve] for curve in options.curves if _CURVES[curve]]
    if hasattr(context, "set_groups") and names:
        context.set_groups(":".join(names))
    elif len(names) == 1 == len(options.curves):
        context.set_ecdh_curve(names[0])
    return context


def _parse_version(text: str) -> ssl.TLSVersion:
    version = _VERSIONS.get(text or DEFAULT_MIN_VERSION)
    if version is None:
        raise FlagError(f"--tls-min-version: unknown version {text!r}; use {', '.join(_VERSIONS)}")
    return version


def _parse_ciphers(text: str) -> str:
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in _SUITES and name not in _TLS13_SUITES]
    if unknown:
        raise FlagError(f"--tls-cipher-suites: unknown suite {unknown[0]!r}")
    return ":".join(_SUITES[name] for name in names if name in _SUITES)


def _parse_curves(text: str) -> tuple[int, ...]:
    curves: list[int] = []
    for word in (part.strip() for part in text.split(",") if text.strip()):
        curve = _parse_curve(word)
        if curve in curves:
            raise FlagError(f"--tls-curve-preferences: duplicate curve preference {word}")
        curves.append(curve)
    return tuple(curves)


def _parse_curve(word: str) -> int:
    flag = "--tls-curve-preferences"
    if not (word.isascii() and word.isdigit()) or int(word[:10]) > _CURVE_MAX:
        raise FlagError(f"{flag}: invalid curve preference {word!r}: a number is needed")
    curve = int(word[:10])
    if curve == 0:
        raise FlagError(f"{flag}: curve preference {word} is out of range 1..{_CURVE_MAX}")
    if curve not in _CURVES:
        known = ", ".join(map(str, _CURVES))
        raise FlagError(f"{flag}: curve preference {word} is not supported; known: {known}")
    return curve

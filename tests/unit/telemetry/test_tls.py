"""The TLS flags accept and refuse what the original's do."""

from __future__ import annotations

import ssl

import pytest

from mercurylb.telemetry.flags import FlagError
from mercurylb.telemetry.tls import parse_tls_options, server_context


@pytest.mark.parametrize(
    ("text", "curves"),
    [
        ("", ()),
        ("  ", ()),
        ("29", (29,)),
        ("29, 23, 4588", (29, 23, 4588)),
        ("23,24,25,29,4588", (23, 24, 25, 29, 4588)),
    ],
)
@pytest.mark.rule("speaker-1.curves")
@pytest.mark.rule("metrics-1.1.tls-flags")
def test_curves(text: str, curves: tuple[int, ...]) -> None:
    """Numbers in the order of preference, blanks trimmed."""
    assert parse_tls_options(curve_preferences=text).curves == curves


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("X25519", "invalid curve preference"),
        ("99999", "invalid curve preference"),
        ("9" * 5000, "invalid curve preference"),
        ("-1", "invalid curve preference"),
        ("29,", "invalid curve preference"),
        ("²", "invalid curve preference"),
        ("0", "out of range"),
        ("29,29", "duplicate"),
        ("30", "not supported"),
    ],
)
@pytest.mark.rule("speaker-1.curves")
def test_refused_curves(text: str, message: str) -> None:
    """Each mistake has its own words."""
    with pytest.raises(FlagError, match=message):
        parse_tls_options(curve_preferences=text)


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("", ssl.TLSVersion.TLSv1_3),
        ("VersionTLS12", ssl.TLSVersion.TLSv1_2),
        ("VersionTLS13", ssl.TLSVersion.TLSv1_3),
    ],
)
@pytest.mark.rule("speaker-1.tls-min-version")
@pytest.mark.rule("metrics-1.1.tls-flags")
def test_min_version(text: str, version: ssl.TLSVersion) -> None:
    """The default is TLS 1.3, and the context obeys."""
    options = parse_tls_options(min_version=text)
    assert server_context(options).minimum_version is version


@pytest.mark.parametrize("text", ["TLS13", "1.3", "versiontls13", "VersionTLS14"])
@pytest.mark.rule("speaker-1.tls-min-version")
def test_unknown_version(text: str) -> None:
    """A version that is none is refused."""
    with pytest.raises(FlagError, match="unknown version"):
        parse_tls_options(min_version=text)


@pytest.mark.rule("speaker-1.tls-cipher-suites")
@pytest.mark.rule("metrics-1.1.tls-flags")
def test_cipher_suites() -> None:
    """Go's names become OpenSSL's; blanks are trimmed; suites of TLS 1.3 have no effect."""
    options = parse_tls_options(
        cipher_suites="TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 , TLS_AES_128_GCM_SHA256",
        min_version="VersionTLS12",
    )
    assert options.ciphers == "ECDHE-RSA-AES256-GCM-SHA384"
    chosen = [
        c["name"] for c in server_context(options).get_ciphers() if c["protocol"] != "TLSv1.3"
    ]
    assert chosen == ["ECDHE-RSA-AES256-GCM-SHA384"]
    assert parse_tls_options(cipher_suites="TLS_AES_128_GCM_SHA256").ciphers == ""
    with pytest.raises(FlagError, match="unknown suite 'RC4'"):
        parse_tls_options(cipher_suites="TLS_AES_128_GCM_SHA256,RC4")


@pytest.mark.parametrize("text", ["23", "29", "23,24", "4588", "29,4588"])
def test_contexts_can_be_made(text: str) -> None:
    """Every list that is accepted makes a working context."""
    assert server_context(parse_tls_options(curve_preferences=text))

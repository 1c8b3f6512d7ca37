"""What the child makes, and what it thinks of what others made."""

from __future__ import annotations

import datetime as dt
import functools
import time
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from mercurylb.telemetry.selfsigned import make_pem
from mercurylb.webhook import forge
from mercurylb.webhook.forge import answer, examine
from mercurylb.webhook.rotation import (
    CA_CERT,
    CA_KEY,
    DAY_S,
    KEYS,
    TLS_CERT,
    TLS_KEY,
    Action,
    Answer,
    Question,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

NAME = "metallb-webhook-service.metallb.svc"
NOW = float(int(time.time()))


@pytest.fixture(autouse=True)
def quick_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use keys that are made in no time; one test looks at the real length."""
    monkeypatch.setattr(forge, "RSA_BITS", 1024)


def ask(contents: Mapping[str, bytes], *, name: str = NAME, now: float = NOW) -> Answer:
    """Ask about contents."""
    return answer(Question(dict(contents), name, now))


@functools.cache
def fresh(now: float = NOW) -> dict[str, bytes]:
    """Make contents from nothing, once."""
    return ask({}, now=now).contents


@functools.cache
def other() -> dict[str, bytes]:
    """Make contents of another authority, once."""
    return ask({}).contents


def certificate(contents: Mapping[str, bytes], key: str) -> x509.Certificate:
    """Load a certificate."""
    return x509.load_pem_x509_certificate(contents[key])


@pytest.mark.rule("config-11.3.secret")
def test_an_empty_secret_gets_all_four_keys() -> None:
    """An authority of that name, and a server certificate that it signed."""
    made = fresh()
    assert set(made) == set(KEYS)
    authority, server = certificate(made, CA_CERT), certificate(made, TLS_CERT)
    assert authority.subject.rfc4514_string() == "CN=cert,O=metallb"
    assert authority.issuer == authority.subject
    server.verify_directly_issued_by(authority)
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [NAME]
    for key in (CA_KEY, TLS_KEY):
        assert made[key].startswith(b"-----BEGIN RSA PRIVATE KEY-----")
        loaded = serialization.load_pem_private_key(made[key], None)
        assert isinstance(loaded, rsa.RSAPrivateKey)


@pytest.mark.rule("config-11.3.secret")
def test_keys_have_2048_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as the original's."""
    monkeypatch.undo()
    key = serialization.load_pem_private_key(ask({}).contents[TLS_KEY], None)
    assert isinstance(key, rsa.RSAPrivateKey)
    assert key.key_size == 2048


@pytest.mark.rule("config-11.3.lifetimes")
@pytest.mark.parametrize(("key", "days"), [(CA_CERT, 3650), (TLS_CERT, 365)])
def test_lifetimes(key: str, days: int) -> None:
    """Ten years and one year, both valid since an hour ago."""
    made = certificate(fresh(), key)
    assert made.not_valid_before_utc == dt.datetime.fromtimestamp(NOW - 3600, dt.UTC)
    assert made.not_valid_after_utc == dt.datetime.fromtimestamp(NOW + days * DAY_S, dt.UTC)


def test_what_was_made_is_kept() -> None:
    """A second look changes nothing and gives what is served and trusted."""
    kept = ask(fresh())
    assert kept.decision.action is Action.KEEP
    assert kept.contents == fresh()
    assert kept.material.pair.startswith(fresh()[TLS_CERT].rstrip())
    der = certificate(fresh(), CA_CERT).public_bytes(serialization.Encoding.DER)
    assert kept.material.authorities == (der,)
    assert kept.material.ends_at == NOW + 365 * DAY_S


@pytest.mark.rule("config-11.3.lifetimes")
def test_the_server_certificate_is_renewed_under_its_authority() -> None:
    """After nine months only the server's pair changes."""
    renewed = ask(fresh(), now=NOW + 280 * DAY_S)
    assert renewed.decision.action is Action.RENEW_SERVER
    assert {key for key in KEYS if renewed.contents[key] != fresh()[key]} == {TLS_CERT, TLS_KEY}
    certificate(renewed.contents, TLS_CERT).verify_directly_issued_by(certificate(fresh(), CA_CERT))
    assert renewed.current is not None
    assert renewed.current.pair.startswith(fresh()[TLS_CERT].rstrip())


def test_a_server_certificate_never_outlives_its_authority() -> None:
    """In the authority's last year its certificates end with it."""
    late = ask(fresh(), now=NOW + 3500 * DAY_S)
    assert late.decision.action is Action.RENEW_SERVER
    assert late.material.ends_at == NOW + 3650 * DAY_S


@pytest.mark.rule("config-11.3.expired")
def test_everything_expired_is_replaced() -> None:
    """A cluster that slept for eleven years wakes up with a new authority and nothing else."""
    again = ask(fresh(), now=NOW + 4000 * DAY_S)
    assert again.decision.action is Action.RENEW_ALL
    assert again.current is None
    assert ask(again.contents, now=NOW + 4000 * DAY_S).decision.action is Action.KEEP


def ed25519_pair() -> dict[str, bytes]:
    """Make an authority's key of a kind that does not sign with a digest."""
    key = ed25519.Ed25519PrivateKey.generate()
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return {CA_KEY: pem}


BROKEN: dict[str, tuple[Callable[[], dict[str, bytes]], Action, str]] = {
    "no authority": (lambda: {CA_CERT: b""}, Action.RENEW_ALL, "ca.crt is empty"),
    "no authority's key": (lambda: {CA_KEY: b" \n"}, Action.RENEW_ALL, "ca.key is empty"),
    "garbage": (lambda: {CA_CERT: b"\x00\xff"}, Action.RENEW_ALL, "authority: "),
    "half": (lambda: {CA_CERT: fresh()[CA_CERT][:300]}, Action.RENEW_ALL, "authority: "),
    "not its key": (
        lambda: {CA_KEY: other()[CA_KEY]},
        Action.RENEW_ALL,
        "do not belong together",
    ),
    "odd key": (ed25519_pair, Action.RENEW_ALL, "neither an RSA nor an elliptic key"),
    "no authority at all": (
        lambda: {CA_CERT: fresh()[TLS_CERT], CA_KEY: fresh()[TLS_KEY]},
        Action.RENEW_ALL,
        "do not belong together",
    ),
    "no server": (lambda: {TLS_CERT: b""}, Action.RENEW_SERVER, "tls.crt is empty"),
    "no server's key": (lambda: {TLS_KEY: b"x"}, Action.RENEW_SERVER, "server certificate: "),
    "not the server's key": (
        lambda: {TLS_KEY: other()[TLS_KEY]},
        Action.RENEW_SERVER,
        "belong together",
    ),
    "of another authority": (
        lambda: {key: other()[key] for key in (TLS_CERT, TLS_KEY)},
        Action.RENEW_SERVER,
        "not signed by the authority",
    ),
    "of another name": (
        lambda: {TLS_CERT: fresh()[CA_CERT], TLS_KEY: fresh()[CA_KEY]},
        Action.RENEW_SERVER,
        f"not for {NAME}",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_cannot_be_used_is_renewed_and_named(case: str) -> None:
    """Each defect is found, told, and healed by one renewal."""
    change, action, reason = BROKEN[case]
    made = ask(fresh() | change())
    assert made.decision.action is action
    assert reason in made.decision.reason
    assert made.current is None
    assert ask(made.contents).decision.action is Action.KEEP


def test_another_name_needs_another_certificate() -> None:
    """A renamed service keeps its authority."""
    made = ask(fresh(), name="other.metallb.svc")
    assert made.decision.action is Action.RENEW_SERVER
    assert "not for other.metallb.svc" in made.decision.reason


def test_a_very_long_name_is_possible() -> None:
    """A common name has 64 characters at most; the alternative name carries all."""
    name = f"{'a' * 63}.{'b' * 63}.svc"
    assert ask(ask({}, name=name).contents, name=name).decision.action is Action.KEEP


def test_more_authorities_than_one_are_all_trusted() -> None:
    """The one that signed comes first, so that what is served can be verified by it."""
    both = fresh() | {CA_CERT: other()[CA_CERT] + fresh()[CA_CERT]}
    kept = ask(both)
    assert kept.decision.action is Action.KEEP
    first, second = kept.material.authorities
    assert x509.load_der_x509_certificate(first) == certificate(fresh(), CA_CERT)
    assert x509.load_der_x509_certificate(second) == certificate(other(), CA_CERT)


def test_a_self_signed_server_is_no_authority() -> None:
    """What the metrics use is not taken for an authority's own."""
    pem: Any = make_pem()
    facts = examine({CA_CERT: pem, CA_KEY: pem, TLS_CERT: pem, TLS_KEY: pem}, NAME)
    assert facts.server.defect == f"not for {NAME}"

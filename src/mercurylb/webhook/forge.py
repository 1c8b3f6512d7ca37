"""Look into certificates and make new ones, in a process of its own: `python -m …webhook.forge`.

Reads a `rotation.Question` as JSON from standard input and writes a `rotation.Answer` to standard
output. The X.509 library stays out of the daemon's memory, making keys does not hold its loop up,
and keys go through pipes only.

The certificates are what the original's rotator makes and accepts, so that either program goes on
with the other's secret: RSA 2048 in PKCS#1, an authority called `cert` of `metallb`.
"""

from __future__ import annotations

import datetime as dt
import sys
from typing import TYPE_CHECKING, Final

import msgspec

from mercurylb.webhook.rotation import (
    AUTHORITY_VALIDITY_S,
    BACKDATE_S,
    CA_CERT,
    CA_KEY,
    SERVER_VALIDITY_S,
    TLS_CERT,
    TLS_KEY,
    Action,
    Answer,
    Facts,
    Material,
    Question,
    Validity,
    decide,
    is_usable,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

AUTHORITY_NAME: Final = "cert"
AUTHORITY_ORGANIZATION: Final = "metallb"
RSA_BITS: Final = 2048
AUTHORITIES_MAX: Final = 8
"""A longer `ca.crt` is somebody's whole trust store; it is cut after these."""


def answer(question: Question) -> Answer:
    """Look into the contents, decide, and make what must be made."""
    contents = dict(question.contents)
    facts = examine(contents, question.dns_name)
    decision = decide(facts, now=question.now)
    current = _material(contents) if is_usable(facts, now=question.now) else None
    if decision.action is Action.RENEW_ALL:
        contents = contents | _new_authority(question.now)
    if decision.action is not Action.KEEP:
        contents = contents | _new_server(contents, question.dns_name, question.now)
    return Answer(decision, contents, _material(contents), current)


def examine(contents: Mapping[str, bytes], dns_name: str) -> Facts:
    """Say of both certificates how long they are good, or what is wrong with them."""
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.x509 import DuplicateExtension, ExtensionNotFound  # noqa: PLC0415

    unusable = (ValueError, TypeError, UnsupportedAlgorithm, DuplicateExtension, ExtensionNotFound)
    try:
        authority, _ = _authority(contents)
    except unusable as error:
        wrong = Validity(defect=_first_line(error))
        return Facts(wrong, wrong)
    try:
        server = _checked_server(contents, authority, dns_name)
    except InvalidSignature:
        return Facts(_validity(authority), Validity(defect="not signed by the authority"))
    except unusable as error:
        return Facts(_validity(authority), Validity(defect=_first_line(error)))
    return Facts(_validity(authority), _validity(server))


def _authority(
    contents: Mapping[str, bytes],
) -> tuple[x509.Certificate, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey]:
    """Give the authority's key and the certificate that it belongs to."""
    from cryptography import x509  # noqa: PLC0415 (only in this process, see the top of the file)
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec, rsa  # noqa: PLC0415

    found = x509.load_pem_x509_certificates(_part(contents, CA_CERT))
    key = serialization.load_pem_private_key(_part(contents, CA_KEY), None)
    if not isinstance(key, (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey)):
        raise TypeError(f"{CA_KEY} is neither an RSA nor an elliptic key")
    for certificate in found[:AUTHORITIES_MAX]:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
        if constraints.value.ca and certificate.public_key() == key.public_key():
            return certificate, key
    raise ValueError(f"{CA_CERT} and {CA_KEY} do not belong together")


def _checked_server(
    contents: Mapping[str, bytes], authority: x509.Certificate, dns_name: str
) -> x509.Certificate:
    """Give the server's certificate; raise ValueError or InvalidSignature if it is no good."""
    from cryptography import x509  # noqa: PLC0415
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415

    certificate = x509.load_pem_x509_certificates(_part(contents, TLS_CERT))[0]
    key = serialization.load_pem_private_key(_part(contents, TLS_KEY), None)
    if certificate.public_key() != key.public_key():
        raise ValueError(f"{TLS_CERT} and {TLS_KEY} do not belong together")
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    if dns_name not in names.get_values_for_type(x509.DNSName):
        raise ValueError(f"not for {dns_name}")
    certificate.verify_directly_issued_by(authority)
    return certificate


def _validity(certificate: x509.Certificate) -> Validity:
    return Validity(
        certificate.not_valid_before_utc.timestamp(), certificate.not_valid_after_utc.timestamp()
    )


def _part(contents: Mapping[str, bytes], key: str) -> bytes:
    found = contents.get(key, b"")
    if not found.strip():
        raise ValueError(f"{key} is empty")
    return found


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]


def _new_authority(now: float) -> dict[str, bytes]:
    """Make an authority that signs itself."""
    from cryptography import x509  # noqa: PLC0415
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415

    key = _new_key()
    name = x509.Name(
        [
            x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, AUTHORITY_ORGANIZATION),
            x509.NameAttribute(x509.NameOID.COMMON_NAME, AUTHORITY_NAME),
        ]
    )
    builder = _template(name, name, key, now, now + AUTHORITY_VALIDITY_S)
    builder = builder.add_extension(_usage(is_authority=True), critical=True)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    builder = builder.add_extension(
        x509.SubjectAlternativeName([x509.DNSName(AUTHORITY_NAME)]), critical=False
    )
    certificate = builder.sign(key, hashes.SHA256())
    return {CA_CERT: _pem(certificate), CA_KEY: _key_pem(key)}


def _new_server(contents: Mapping[str, bytes], dns_name: str, now: float) -> dict[str, bytes]:
    """Make a server certificate signed by the authority in the contents."""
    from cryptography import x509  # noqa: PLC0415
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415

    authority, signing_key = _authority(contents)
    key = _new_key()
    ends_at = min(now + SERVER_VALIDITY_S, authority.not_valid_after_utc.timestamp())
    # A common name has 64 characters at most; clients look at the alternative names.
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, dns_name[:64])])
    builder = _template(name, authority.subject, key, now, ends_at)
    builder = builder.add_extension(_usage(is_authority=False), critical=True)
    builder = builder.add_extension(
        x509.BasicConstraints(ca=False, path_length=None), critical=True
    )
    builder = builder.add_extension(
        x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.SERVER_AUTH]), critical=False
    )
    builder = builder.add_extension(
        x509.SubjectAlternativeName([x509.DNSName(dns_name)]), critical=False
    )
    # Two authorities with one name are told apart by this while one follows the other.
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(signing_key.public_key())
    builder = builder.add_extension(issuer, critical=False)
    certificate = builder.sign(signing_key, hashes.SHA256())
    return {TLS_CERT: _pem(certificate), TLS_KEY: _key_pem(key)}


def _template(
    subject: x509.Name, issuer: x509.Name, key: rsa.RSAPrivateKey, now: float, ends_at: float
) -> x509.CertificateBuilder:
    from cryptography import x509  # noqa: PLC0415

    public = key.public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(dt.datetime.fromtimestamp(now - BACKDATE_S, dt.UTC))
        .not_valid_after(dt.datetime.fromtimestamp(ends_at, dt.UTC))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _usage(*, is_authority: bool) -> x509.KeyUsage:
    from cryptography import x509  # noqa: PLC0415

    return x509.KeyUsage(
        digital_signature=True,
        key_encipherment=True,
        key_cert_sign=is_authority,
        crl_sign=False,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _new_key() -> rsa.RSAPrivateKey:
    from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: PLC0415

    return rsa.generate_private_key(public_exponent=65_537, key_size=RSA_BITS)


def _pem(certificate: x509.Certificate) -> bytes:
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415

    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: rsa.RSAPrivateKey) -> bytes:
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415

    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )


def _material(contents: Mapping[str, bytes]) -> Material:
    """Give what is served and trusted; the authority that signed comes first."""
    from cryptography import x509  # noqa: PLC0415
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415

    signer, _ = _authority(contents)
    found = x509.load_pem_x509_certificates(contents[CA_CERT])[:AUTHORITIES_MAX]
    server = x509.load_pem_x509_certificates(contents[TLS_CERT])[0]
    trusted = [signer, *(each for each in found if each != signer)]
    return Material(
        pair=contents[TLS_CERT].rstrip() + b"\n" + contents[TLS_KEY],
        authorities=tuple(each.public_bytes(serialization.Encoding.DER) for each in trusted),
        ends_at=server.not_valid_after_utc.timestamp(),
    )


if __name__ == "__main__":
    asked = msgspec.json.decode(sys.stdin.buffer.read(), type=Question)
    sys.stdout.buffer.write(msgspec.json.encode(answer(asked)))

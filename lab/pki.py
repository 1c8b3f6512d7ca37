"""The lab's small but real PKI: one CA, server and client certificates with elliptic keys.

Pods need a CA they can verify and nodes need identities the Node authorizer accepts, so nothing
here is a shortcut that would hide an error of the programs under test.
"""

from __future__ import annotations

import base64
import datetime as dt
import ipaddress
from typing import TYPE_CHECKING, Final

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_LIFETIME: Final = dt.timedelta(days=365)


class Authority:
    """A certificate authority in a folder: ``ca.crt``, ``ca.key`` and what it issued."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        key_file = folder / "ca.key"
        if key_file.exists():
            loaded = serialization.load_pem_private_key(key_file.read_bytes(), None)
            if not isinstance(loaded, ec.EllipticCurvePrivateKey):
                raise TypeError(f"{key_file} holds no elliptic key")
            self._key = loaded
            self._name = x509.load_pem_x509_certificate(self.ca_file.read_bytes()).subject
        else:
            self._key = ec.generate_private_key(ec.SECP256R1())
            self._name = _subject("lab-ca", ())
            self._write_root()

    @property
    def ca_file(self) -> Path:
        """The CA's certificate."""
        return self.folder / "ca.crt"

    def issue(
        self,
        file_stem: str,
        common_name: str,
        *,
        groups: Sequence[str] = (),
        alternative_names: Sequence[str] = (),
    ) -> tuple[Path, Path]:
        """Issue a certificate good for both ends of TLS; return its file and its key's."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _template(_subject(common_name, groups), self._name, key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
        usage = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
        builder = builder.add_extension(x509.ExtendedKeyUsage(usage), critical=False)
        if alternative_names:
            names = [_alternative_name(text) for text in alternative_names]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        return self._write_pair(file_stem, certificate, key)

    def write_signing_key(self, file_stem: str) -> tuple[Path, Path]:
        """Make a bare key pair (for service-account tokens); return private and public file."""
        key = ec.generate_private_key(ec.SECP256R1())
        private, public = self.folder / f"{file_stem}.key", self.folder / f"{file_stem}.pub"
        _write_key(private, key)
        public.write_bytes(
            key.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )
        return private, public

    def _write_root(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        builder = _template(self._name, self._name, self._key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        certificate = builder.sign(self._key, hashes.SHA256())
        self._write_pair("ca", certificate, self._key)

    def _write_pair(
        self, file_stem: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey
    ) -> tuple[Path, Path]:
        certificate_file = self.folder / f"{file_stem}.crt"
        key_file = self.folder / f"{file_stem}.key"
        certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        _write_key(key_file, key)
        return certificate_file, key_file


def write_kubeconfig(file: Path, server: str, ca: Path, pair: tuple[Path, Path]) -> None:
    """Write a kubeconfig file with everything embedded."""

    def embedded(source: Path) -> str:
        return base64.b64encode(source.read_bytes()).decode()

    user = {"client-certificate-data": embedded(pair[0]), "client-key-data": embedded(pair[1])}
    cluster = {"server": server, "certificate-authority-data": embedded(ca)}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "lab", "cluster": cluster}],
        "users": [{"name": "lab", "user": user}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}],
        "current-context": "lab",
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch(mode=0o600)
    file.write_text(yaml.safe_dump(config, sort_keys=False))


def _template(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + _LIFETIME)
    )


def _subject(common_name: str, groups: Sequence[str]) -> x509.Name:
    organizations = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    return x509.Name([*organizations, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _alternative_name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _write_key(file: Path, key: ec.EllipticCurvePrivateKey) -> None:
    file.touch(mode=0o600)
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )

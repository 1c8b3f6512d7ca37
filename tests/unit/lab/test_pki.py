"""The lab's certificates."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import yaml
from cryptography import x509

from lab.pki import Authority, write_kubeconfig

if TYPE_CHECKING:
    from pathlib import Path


def test_issued_certificates_verify_against_the_ca(tmp_path: Path) -> None:
    """A second run over the same folder goes on with the same CA."""
    Authority(tmp_path)
    pair = Authority(tmp_path).issue("n", "user", groups=["g"], alternative_names=["n", "::1"])
    root = x509.load_pem_x509_certificate((tmp_path / "ca.crt").read_bytes())
    issued = x509.load_pem_x509_certificate(pair[0].read_bytes())
    issued.verify_directly_issued_by(root)
    assert issued.subject.rfc4514_string() == "CN=user,O=g"
    names = issued.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["n"]
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["::1"]
    assert pair[1].stat().st_mode & 0o077 == 0


def test_a_kubeconfig_stands_alone(tmp_path: Path) -> None:
    """The file names no other file, so it can be handed to any program."""
    authority = Authority(tmp_path)
    pair = authority.issue("admin", "admin")
    file = tmp_path / "config.yaml"
    write_kubeconfig(file, "https://192.0.2.1:6443", authority.ca_file, pair)
    config = yaml.safe_load(file.read_text())
    user = config["users"][0]["user"]
    assert base64.b64decode(user["client-certificate-data"]) == pair[0].read_bytes()
    assert config["clusters"][0]["cluster"]["server"] == "https://192.0.2.1:6443"
    assert file.stat().st_mode & 0o077 == 0

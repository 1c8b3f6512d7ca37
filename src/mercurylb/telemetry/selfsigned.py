"""Make a self-signed certificate in a process of its own: `python -m …telemetry.selfsigned`.

Prints certificate and key as PEM on standard output. The library that makes them stays out of the
daemon's memory; the key goes through the pipe and never touches a disk.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import sys

_VALIDITY = dt.timedelta(days=3650)
"""As long as any process lives: the certificate is made anew at each start."""


def make_pem() -> bytes:
    """Make a certificate for `localhost` and 127.0.0.1 with its key."""
    # Imported here, and only in this process: see the top of the file.
    from cryptography import x509  # noqa: PLC0415
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + _VALIDITY)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


if __name__ == "__main__":
    sys.stdout.buffer.write(make_pem())

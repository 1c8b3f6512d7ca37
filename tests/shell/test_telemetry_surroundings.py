"""Wrong TLS files and a port that is taken: said in one line, and the program goes on."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import ssl
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from mercurylb.telemetry import certificate, server
from mercurylb.telemetry.metrics import Registry
from mercurylb.telemetry.selfsigned import make_pem
from mercurylb.telemetry.server import MetricsServer
from mercurylb.telemetry.tls import TlsOptions
from mercurylb.telemetry.validity import not_after

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Json = dict[str, Any]
YEAR = dt.timedelta(days=365)


def made(end: dt.datetime) -> bytes:
    """Make a certificate with its key that is valid until then."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1 << 150)
        .not_valid_before(end - YEAR)
        .not_valid_after(end)
        .sign(key, hashes.SHA256())
    )
    return signed.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


async def allow(token: str) -> int:
    """Let everybody in."""
    return 200 if token else 401


def metrics(folder: Path | None, port: int = 0) -> MetricsServer:
    """Make a server on a port of the loopback device."""
    return MetricsServer(
        "127.0.0.1",
        port,
        Registry(),
        authorize=allow,
        options=TlsOptions(),
        certificate_dir=str(folder or ""),
    )


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look again and try again at once."""
    monkeypatch.setattr(certificate, "POLL_INTERVAL_S", 0.01)
    monkeypatch.setattr(server, "PORT_RETRY_S", 0.01)


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Callable[[str], list[Json]]:
    """Give the lines of one event that were logged since the last call."""

    def told(event: str) -> list[Json]:
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        return [line for line in lines if line["event"] == event]

    return told


OLD, YOUNG = (dt.datetime(year, 3, 4, 5, 6, 7, tzinfo=dt.UTC) for year in (2020, 2120))


@pytest.mark.parametrize("end", [OLD, YOUNG, dt.datetime(2050, 1, 1, tzinfo=dt.UTC)])
def test_the_end_of_a_certificate_is_read(end: dt.datetime) -> None:
    """Both forms of a time are understood, also with text and a key around the certificate."""
    assert not_after("bag\n" + made(end).decode()) == end


@pytest.mark.parametrize("text", ["", "nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_what_is_no_certificate_is_an_error(text: str) -> None:
    """Whatever a file holds, the answer is an end or a ValueError."""
    with pytest.raises(ValueError, match="certificate"):
        not_after(text)


def files(certificate_pem: bytes, key_pem: bytes | None) -> dict[str, bytes]:
    """Give the content of a secret."""
    found = {"tls.crt": certificate_pem}
    return found if key_pem is None else {**found, "tls.key": key_pem}


GOOD, OTHER = make_pem(), make_pem()
WRONG: list[tuple[str, dict[str, bytes], str]] = [
    ("nothing", {}, "tls.crt is missing"),
    ("no key", files(GOOD, None), "tls.key is missing"),
    ("other key", files(GOOD, OTHER), "tls.key is not the key of tls.crt"),
    ("no PEM", files(b"nonsense", b"nonsense"), "tls.crt or tls.key is not PEM"),
    ("empty", files(b"", b""), "tls.crt or tls.key is not PEM"),
]


@pytest.mark.parametrize(("content", "reason"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG])
@pytest.mark.rule("speaker-1.metrics-cert-dir")
async def test_wrong_files_are_named_and_metrics_served(
    background: Any,
    tmp_path: Path,
    told: Callable[[str], list[Json]],
    content: dict[str, bytes],
    reason: str,
) -> None:
    """One line says which file is wrong and what to do; a self-signed certificate is served.

    Once the files are right they are in use, without a restart.
    """
    for name, octets in content.items():
        (tmp_path / name).write_bytes(octets)
    served = metrics(tmp_path)
    async with background(served.run()):
        await served.started.wait()
        where = ("127.0.0.1", served.port)
        assert await asyncio.to_thread(ssl.get_server_certificate, where)
        (line,) = told("metrics.certificate_refused")
        assert line["error"].startswith(reason)
        assert line["msg"] == "a self-signed one is served"
        assert line["todo"]
        await asyncio.sleep(0.1)  # It is looked at again and again, and said once.
        assert not told("metrics.certificate_refused")
        for name in ("tls.crt", "tls.key"):
            (tmp_path / name).write_bytes(GOOD)
        wanted = GOOD.decode()
        async with asyncio.timeout(30):
            while True:
                shown = await asyncio.to_thread(ssl.get_server_certificate, where)
                if shown.strip() in wanted:
                    break
                await asyncio.sleep(0.01)


async def test_an_expired_certificate_is_told_once_and_served(
    background: Any, tmp_path: Path, told: Callable[[str], list[Json]]
) -> None:
    """Who scrapes decides what an expired certificate is worth; the operator is told."""
    pair = made(OLD)
    (tmp_path / "tls.crt").write_bytes(pair)
    (tmp_path / "tls.key").write_bytes(pair)
    served = metrics(tmp_path)
    async with background(served.run()):
        await served.started.wait()
        where = ("127.0.0.1", served.port)
        shown = await asyncio.to_thread(ssl.get_server_certificate, where)
        assert shown.strip() in pair.decode()
    (line,) = told("metrics.certificate_expired")
    assert line["expired"] == OLD.isoformat()
    assert line["todo"]


async def test_a_taken_port_is_waited_for(
    background: Any, told: Callable[[str], list[Json]]
) -> None:
    """Somebody else's listener costs the metrics, not the program; they come when it is gone."""
    first = metrics(None)
    async with background(first.run()):
        await first.started.wait()
        second = metrics(None, first.port)
        waiting = asyncio.create_task(second.run())
        lines: list[Json] = []
        async with asyncio.timeout(30):
            while not lines:
                await asyncio.sleep(0.01)
                lines = told("metrics.port_taken")
        assert not second.started.is_set()
        assert str(first.port) in lines[0]["error"]
        await asyncio.sleep(0.1)
        assert not told("metrics.port_taken")
    async with asyncio.timeout(30):
        await second.started.wait()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)

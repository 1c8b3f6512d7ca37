"""Health and metrics as the kubelet and Prometheus find them."""

from __future__ import annotations

import asyncio
import shutil
import ssl
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from mercurylb.errors import LinkError
from mercurylb.telemetry import certificate
from mercurylb.telemetry.metrics import Registry
from mercurylb.telemetry.selfsigned import make_pem
from mercurylb.telemetry.server import HealthServer, MetricsServer
from mercurylb.telemetry.tls import TlsOptions, parse_tls_options

if TYPE_CHECKING:
    from pathlib import Path

ANY = ssl.create_default_context()
ANY.check_hostname = False
ANY.verify_mode = ssl.CERT_NONE


async def authorize(token: str) -> int:
    """Decide as a cluster with three tokens would."""
    return {"good": 200, "known": 403, "error": 500}.get(token, 401)


def metrics(registry: Registry, **options: Any) -> MetricsServer:
    """Make a metrics server on a free port."""
    options = {"options": TlsOptions(), **options}
    return MetricsServer("127.0.0.1", 0, registry, authorize=authorize, **options)


async def get(url: str, token: str = "", context: ssl.SSLContext = ANY) -> tuple[int, str]:
    """Give status and text of an answer."""
    headers = {"Authorization": token} if token else {}
    async with (
        aiohttp.ClientSession() as session,
        session.get(url, headers=headers, ssl=context) as answer,
    ):
        return answer.status, await answer.text()


async def test_health_tells_which_check_failed(background: Any) -> None:
    """200 while all is well; 503 with the name of what is not, for that path only."""
    wrong = {"api": "", "announcer": ""}
    server = HealthServer(
        "127.0.0.1",
        0,
        live={"announcer": lambda: wrong["announcer"]},
        ready={"api": lambda: wrong["api"], "announcer": lambda: wrong["announcer"]},
    )
    async with background(server.run()):
        await server.started.wait()
        base = f"http://127.0.0.1:{server.port}"
        assert await get(base + "/healthz") == (200, "ok")
        assert await get(base + "/readyz") == (200, "ok")
        wrong["api"] = "no list yet"
        assert await get(base + "/healthz") == (200, "ok")
        assert await get(base + "/readyz") == (503, "api: no list yet\n")
        wrong["announcer"] = "gone"
        assert await get(base + "/readyz") == (503, "api: no list yet\nannouncer: gone\n")
        assert (await get(base + "/else"))[0] == 404
        async with aiohttp.ClientSession() as session, session.post(base + "/healthz") as answer:
            assert answer.status == 405


async def test_port_in_use(background: Any) -> None:
    """A port that somebody else has is a clear error."""
    first = HealthServer("127.0.0.1", 0, live={}, ready={})
    async with background(first.run()):
        await first.started.wait()
        second = HealthServer("127.0.0.1", first.port, live={}, ready={})
        with pytest.raises(LinkError, match=f"127.0.0.1:{first.port}: cannot listen"):
            await second.run()


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("Bearer good", 200),
        ("bearer  good ", 200),
        ("Bearer known", 403),
        ("Bearer wrong", 401),
        ("Bearer error", 500),
        ("Bearer ", 401),
        ("Basic good", 401),
        ("", 401),
    ],
)
@pytest.mark.rule("speaker-2.metrics")
async def test_metrics_need_a_token(background: Any, header: str, status: int) -> None:
    """Only who may read the metrics reads them."""
    registry = Registry()
    registry.gauge("metallb_k8s_client_config_loaded_bool", "Loaded.").set(1)
    server = metrics(registry)
    async with background(server.run()):
        await server.started.wait()
        answer = await get(f"https://127.0.0.1:{server.port}/metrics", header)
    assert answer[0] == status
    assert ("config_loaded_bool 1" in answer[1]) == (status == 200)


async def test_a_broken_number_is_one_failed_scrape(background: Any) -> None:
    """An error while rendering answers 500; the server lives."""
    registry = Registry()
    registry.on_scrape(lambda: 1 / 0)
    server = metrics(registry)
    async with background(server.run()):
        await server.started.wait()
        for _ in range(2):
            status, text = await get(f"https://127.0.0.1:{server.port}/metrics", "Bearer good")
            assert (status, text) == (500, "Internal Server Error\n")


@pytest.mark.rule("metrics-1.1.self-signed", "metrics-1.1.tls")
async def test_self_signed_for_localhost_and_tls13(background: Any) -> None:
    """Without a directory the certificate is our own; TLS 1.2 is refused unless allowed."""
    for version, is_accepted in (("", False), ("VersionTLS12", True)):
        server = metrics(Registry(), options=parse_tls_options(min_version=version))
        old = ssl.create_default_context()
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        async with background(server.run()):
            await server.started.wait()
            url = f"https://127.0.0.1:{server.port}/metrics"
            pem = await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", server.port))
            trusting = ssl.create_default_context(cadata=pem)
            assert (await get(url, "Bearer good", trusting))[0] == 200
            if is_accepted:
                assert (await get(url, "Bearer good", old))[0] == 200
            else:
                with pytest.raises(aiohttp.ClientConnectorError):
                    await get(url, "Bearer good", old)


def write_pair(directory: Path, pem: bytes, *, key: bytes | None = None) -> None:
    """Write as the kubelet does: a new directory, then the link is swapped."""
    version = directory / f"..{len(list(directory.iterdir()))}"
    version.mkdir()
    (version / "tls.crt").write_bytes(pem)
    (version / "tls.key").write_bytes(key or pem)
    link = directory / "new"
    link.symlink_to(version)
    link.replace(directory / "..data")
    for name in ("tls.crt", "tls.key"):
        if not (directory / name).is_symlink():
            (directory / name).symlink_to(f"..data/{name}")


@pytest.mark.rule("speaker-1.metrics-cert-dir", "speaker-10.certificates")
async def test_certificate_directory_is_reloaded(
    background: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A renewed secret is in use without a restart; a pair that does not fit is refused."""
    monkeypatch.setattr(certificate, "POLL_INTERVAL_S", 0.02)
    first, second, third = make_pem(), make_pem(), make_pem()
    write_pair(tmp_path, first)
    server = metrics(Registry(), certificate_dir=str(tmp_path))

    def shown() -> str:
        return ssl.get_server_certificate(("127.0.0.1", server.port))

    async with background(server.run()):
        await server.started.wait()
        assert (await asyncio.to_thread(shown)).strip() in first.decode()
        write_pair(tmp_path, second, key=third)
        await asyncio.sleep(0.1)
        assert (await asyncio.to_thread(shown)).strip() in first.decode()
        write_pair(tmp_path, second)
        async with asyncio.timeout(5):
            while (await asyncio.to_thread(shown)).strip() not in second.decode():  # noqa: ASYNC110 (seen from outside only)
                await asyncio.sleep(0.02)
        shutil.rmtree(tmp_path)
        await asyncio.sleep(0.1)
        assert (await asyncio.to_thread(shown)).strip() in second.decode()


@pytest.mark.rule("speaker-1.metrics-cert-dir")
async def test_missing_certificates_fall_back(background: Any, tmp_path: Path) -> None:
    """A directory without the files does not keep the metrics away."""
    server = metrics(Registry(), certificate_dir=str(tmp_path))
    async with background(server.run()):
        await server.started.wait()
        url = f"https://127.0.0.1:{server.port}/metrics"
        assert (await get(url, "Bearer good"))[0] == 200

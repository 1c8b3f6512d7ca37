"""The webhooks as a program runs them: ready when somebody is answered, with files of one's own."""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from mercurylb.telemetry.flags import FlagError
from mercurylb.telemetry.metrics import Registry
from mercurylb.telemetry.selfsigned import make_pem
from mercurylb.webhook import files as room
from mercurylb.webhook import service as service_room
from mercurylb.webhook.conversion import PATH
from mercurylb.webhook.files import CertificateFiles
from mercurylb.webhook.keeper import CertificateKeeper
from mercurylb.webhook.rotation import Material
from mercurylb.webhook.service import WebhookService

if TYPE_CHECKING:
    from pathlib import Path


def service(registry: Registry | None = None, **changes: Any) -> WebhookService:
    """Make the webhooks of a program."""
    settings: dict[str, Any] = {
        "webhook_secret": "cert",
        "disable_cert_rotation": False,
        "cert_dir": room.DEFAULT_DIR,
        "cert_service_name": "hook",
        "tls_min_version": "",
        "tls_cipher_suites": "",
        "tls_curve_preferences": "",
    }
    client: Any = SimpleNamespace()
    return WebhookService(
        SimpleNamespace(**settings | changes),
        client,
        namespace="metallb",
        backend="native",
        registry=registry or Registry(),
        random=random.Random(1),
        host="127.0.0.1",
        port=0,
    )


def write(folder: Path, pem: bytes) -> None:
    """Put a pair where it is looked for."""
    folder.mkdir(exist_ok=True)
    for name in ("tls.crt", "tls.key"):
        (folder / name).write_bytes(pem)


@pytest.mark.rule("config-11.3.disabled-rotation", "config-11.3.reload")
async def test_files_of_ones_own(
    background: Any, until: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not ready without them; served when they come, and again when they change."""
    monkeypatch.setattr(room, "POLL_INTERVAL_S", 0.02)
    webhooks = service(disable_cert_rotation=True, cert_dir=str(tmp_path / "own"))
    assert isinstance(webhooks.certificate, CertificateFiles)
    webhooks.certificate._poll_interval_s = 0.02
    async with background(webhooks.run()):
        await until(lambda: f"{tmp_path}/own cannot be used" in webhooks.check())
        first, second = make_pem(), make_pem()
        write(tmp_path / "own", first)
        await until(lambda: webhooks.check() == "")
        where = ("127.0.0.1", webhooks.server.port)
        shown = await asyncio.to_thread(ssl.get_server_certificate, where)
        assert shown.strip() in first.decode()
        write(tmp_path / "own", b"half a certificate")
        await until(lambda: "cannot be used" in webhooks.certificate.problem)
        assert webhooks.check() == ""
        write(tmp_path / "own", second)
        await until(lambda: webhooks.certificate.problem == "")
        shown = await asyncio.to_thread(ssl.get_server_certificate, where)
        assert shown.strip() in second.decode()


def test_the_default_directory_is_the_second_choice(tmp_path: Path) -> None:
    """Where the original serves from is looked at when the named directory is empty."""
    served: list[bytes] = []
    named, usual = tmp_path / "named", tmp_path / "usual"
    files = CertificateFiles((str(named), str(usual)), serve=served.append)
    write(usual, b"usual")
    files.look()
    write(named, b"named")
    files.look()
    files.look()
    assert served == [b"usual\nusual", b"named\nnamed"]


async def test_conversion_is_answered_at_its_path(
    background: Any, until: Any, tmp_path: Path
) -> None:
    """What the definition of BGPPeer asks."""
    write(tmp_path, make_pem())
    webhooks = service(disable_cert_rotation=True, cert_dir=str(tmp_path))
    trust = ssl.create_default_context()
    trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
    body = (
        b'{"apiVersion": "apiextensions.k8s.io/v1", "kind": "ConversionReview", "request": '
        b'{"uid": "u", "desiredAPIVersion": "metallb.io/v1beta2", "objects": []}}'
    )
    async with background(webhooks.run()):
        await until(lambda: webhooks.check() == "")
        url = f"https://127.0.0.1:{webhooks.server.port}{PATH}?timeout=30s"
        async with (
            aiohttp.ClientSession(headers={"Content-Type": "application/json"}) as session,
            session.post(url, data=body, ssl=trust) as response,
        ):
            assert (await response.json())["response"]["result"] == {"status": "Success"}


async def test_who_winds_down_answers_and_keeps_no_connection(
    background: Any, until: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until its successor is known everybody is answered once more, and has to connect anew."""
    monkeypatch.setattr(service_room, "WIND_DOWN_S", 3600.0)
    write(tmp_path, make_pem())
    webhooks = service(disable_cert_rotation=True, cert_dir=str(tmp_path))
    trust = ssl.create_default_context()
    trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
    body = (
        b'{"apiVersion": "apiextensions.k8s.io/v1", "kind": "ConversionReview", "request": '
        b'{"uid": "u", "desiredAPIVersion": "metallb.io/v1beta2", "objects": []}}'
    )
    kept: list[bool] = []
    async with background(webhooks.run()):
        await until(lambda: webhooks.check() == "")
        url = f"https://127.0.0.1:{webhooks.server.port}{PATH}?timeout=30s"
        async with aiohttp.ClientSession(headers={"Content-Type": "application/json"}) as session:
            for is_ending in (False, True):
                ending = asyncio.create_task(
                    webhooks.wind_down() if is_ending else asyncio.sleep(0)
                )
                await asyncio.sleep(0)
                async with session.post(url, data=body, ssl=trust) as response:
                    assert response.status == 200
                    kept.append(response.headers.get("Connection") != "close")
                ending.cancel()
    assert kept == [True, False]


def test_with_rotation_the_keeper_has_the_services_name() -> None:
    """The certificate is for the name that the API server asks for, and its end is shown."""
    registry = Registry()
    webhooks = service(registry)
    assert isinstance(webhooks.certificate, CertificateKeeper)
    assert webhooks.certificate._dns_name == "hook.metallb.svc"
    assert "was not read yet" in webhooks.check()
    webhooks.certificate._serve(Material(make_pem(), (b"",), ends_at=time.time() + 5))
    assert b"mercurylb_webhook_certificate_expiry_timestamp_seconds" in registry.render()
    assert webhooks.server.has_certificate


@pytest.mark.rule("controller-3.tls-both")
def test_tls_flags_are_checked_at_the_start() -> None:
    """A version that nobody knows ends the program before it serves anything."""
    with pytest.raises(FlagError):
        service(tls_min_version="VersionTLS9")

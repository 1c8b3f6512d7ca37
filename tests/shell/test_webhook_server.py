"""The webhook's port as the API server, and everybody else in a cluster, finds it."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import io
import json
import ssl
import time
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from mercurylb.errors import WireError
from mercurylb.telemetry.metrics import Registry
from mercurylb.telemetry.selfsigned import make_pem
from mercurylb.telemetry.tls import TlsOptions
from mercurylb.webhook import server as room
from mercurylb.webhook.forge import answer
from mercurylb.webhook.rotation import Question
from mercurylb.webhook.server import Route, WebhookServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NAME = "metallb-webhook-service.metallb.svc"
JSON = {"Content-Type": "application/json"}
PACKED = {**JSON, "Content-Encoding": "gzip"}
MIB = 1024 * 1024


async def echo(body: bytes, _patience_s: float) -> bytes:
    """Answer with how long the question was."""
    if not body.startswith(b"{"):
        raise WireError("question", "no question")
    return json.dumps({"length": len(body)}).encode()


class Port:
    """A running server, and a client that trusts its certificate or anybody."""

    def __init__(self, server: WebhookServer, registry: Registry) -> None:
        self.server = server
        self.registry = registry
        self.trust = ssl.create_default_context()
        self.trust.check_hostname, self.trust.verify_mode = False, ssl.CERT_NONE

    async def post(self, path: str, data: Any, **options: Any) -> tuple[int, str]:
        """Give status and text of an answer."""
        url = f"https://127.0.0.1:{self.server.port}{path}"
        options = {"headers": JSON, "ssl": self.trust, **options}
        data = io.BytesIO(data) if isinstance(data, bytes) else data
        async with (
            aiohttp.ClientSession() as session,
            session.post(url, data=data, **options) as response,
        ):
            return response.status, await response.text()

    def refused(self, reason: str) -> float | None:
        """Give how often something was refused for a reason."""
        return self.server._refusals.value(reason)


@asynccontextmanager
async def _port(background: Any, **options: Any) -> AsyncIterator[Port]:
    registry = Registry()
    server = WebhookServer(
        {"/ask": Route(echo, body_bytes_max=MIB)},
        options=TlsOptions(),
        registry=registry,
        host="127.0.0.1",
        port=0,
        **options,
    )
    server.serve_with(make_pem())
    async with background(server.run()):
        await server.started.wait()
        yield Port(server, registry)


@pytest.fixture
async def port(background: Any) -> AsyncIterator[Port]:
    """Run a server that echoes at /ask."""
    async with _port(background) as made:
        yield made


async def shown(port: Port) -> str:
    """Give the certificate that a new connection is shown, as PEM."""
    return await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", port.server.port))


async def test_a_question_is_answered(port: Port) -> None:
    """JSON by POST at a known path, whole or in chunks."""
    assert await port.post("/ask?timeout=10s", b"{}") == (200, '{"length": 2}')

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"{"

    assert await port.post("/ask", chunks()) == (200, '{"length": 3}')


@pytest.mark.parametrize(
    ("path", "data", "headers", "refusal"),
    [
        ("/ask", b"[", JSON, (400, "malformed")),
        ("/ask", b"", JSON, (400, "malformed")),
        ("/else", b"{}", JSON, (404, "unknown_path")),
        ("/ask/", b"{}", JSON, (404, "unknown_path")),
        ("/ask", b"{}", {"Content-Type": "application/yaml"}, (415, "content_type")),
        ("/ask", b"{" * (MIB + 1), JSON, (413, "too_large")),
        ("/ask", gzip.compress(b"{" * 2 * MIB), PACKED, (400, "malformed")),
    ],
    ids=["garbage", "empty", "path", "path-slash", "content-type", "too-large", "packed"],
)
async def test_what_is_no_question_is_refused(
    port: Port, path: str, data: bytes, headers: dict[str, str], refusal: tuple[int, str]
) -> None:
    """Each mistake has its status, is counted under its reason, and harms nobody after it."""
    status, reason = refusal
    assert (await port.post(path, data, headers=headers))[0] == status
    assert port.refused(reason) == 1
    assert (await port.post("/ask", b"{}"))[0] == 200
    assert port.server._held_bytes == 0


async def test_a_refusal_is_logged_at_its_first_time(
    port: Port, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever asks nonsense all day long does not fill the log, but the metric."""
    capsys.readouterr()
    for _ in range(3):
        await port.post("/else", b"{}")
        await port.post("/ask", b"[")
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["kind"] for line in lines] == ["unknown_path", "malformed"]
    rendered = port.registry.render().decode()
    assert 'mercurylb_webhook_refused_total{reason="malformed"} 3' in rendered


async def test_only_post_is_answered(port: Port) -> None:
    """A GET is refused."""
    url = f"https://127.0.0.1:{port.server.port}/ask"
    async with aiohttp.ClientSession() as session, session.get(url, ssl=port.trust) as response:
        assert response.status == 405


async def test_a_hundred_megabytes_are_not_read(port: Port) -> None:
    """A huge body, announced or in endless chunks, is refused after little of it."""
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 100 * MIB:
            sent += 65_536
            yield b"{" * 65_536

    with contextlib.suppress(aiohttp.ClientError):  # Cut off while sending, as it should be.
        assert (await port.post("/ask", endless()))[0] == 413
    assert sent < 100 * MIB
    assert port.refused("too_large") == 1
    assert port.server._held_bytes == 0


async def test_an_announced_size_is_refused_before_the_body_comes(port: Port) -> None:
    """Nobody waits for what is not wanted, and the connection is not used again."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port.server.port, ssl=port.trust)
    writer.write(b"POST /ask HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n")
    writer.write(b"Content-Length: 104857600\r\n\r\n{")
    async with asyncio.timeout(5):
        head = await reader.readuntil(b"\r\n\r\n")
    assert b" 413 " in head
    assert b"connection: close" in head.lower()
    writer.transport.abort()


async def test_a_body_that_never_ends_is_given_up(
    port: Port, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who sends half a body and waits is answered 408."""
    monkeypatch.setattr(room, "BODY_S", 0.05)
    held = asyncio.Event()

    async def half() -> AsyncIterator[bytes]:
        yield b"{"
        await held.wait()

    asking = asyncio.create_task(port.post("/ask", half()))
    assert (await asking)[0] == 408
    held.set()


async def test_a_body_that_breaks_off_is_counted(port: Port, until: Any) -> None:
    """Who goes away in the middle of a body leaves nothing behind."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port.server.port, ssl=port.trust)
    writer.write(b"POST /ask HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n")
    writer.write(b"Content-Length: 100\r\n\r\n{")
    await writer.drain()
    writer.transport.abort()
    await until(lambda: not port.server._held_bytes)
    del reader
    assert (await port.post("/ask", b"{}"))[0] == 200


async def test_bytes_that_are_no_http_are_refused(port: Port, until: Any) -> None:
    """Another protocol is told so, counted, and leaves no traceback in the log."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port.server.port, ssl=port.trust)
    writer.write(b"\x16\x03\x01 EHLO\r\n\r\n")
    assert b"400" in await reader.readline()
    writer.close()
    await until(lambda: port.refused("no_http") == 1)


async def test_too_much_at_once_is_refused(port: Port, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes of all bodies together are bounded."""
    monkeypatch.setattr(room, "HELD_BYTES_MAX", 1000)
    assert (await port.post("/ask", b"{" * 2000))[0] == 503
    assert (await port.post("/ask", b"{" * 900))[0] == 200


async def test_connections_are_bounded_and_the_silent_ones_are_ended(
    background: Any, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One connection too many is cut; those that ask nothing make room for others."""
    monkeypatch.setattr(room, "FIRST_REQUEST_S", 0.2)
    async with _port(background, connections_max=3) as port:
        where = ("127.0.0.1", port.server.port)
        silent = [await asyncio.open_connection(*where, ssl=port.trust) for _ in range(3)]
        with pytest.raises(aiohttp.ClientError):
            await port.post("/ask", b"{}")
        assert port.refused("connections") == 1
        await until(lambda: port.refused("silent") == 3)
        assert (await port.post("/ask", b"{}"))[0] == 200
        for _, writer in silent:
            writer.transport.abort()


async def test_many_at_once_are_all_answered(port: Port) -> None:
    """A hundred parallel questions get their own answers."""
    sizes = range(1, 101)
    answers = await asyncio.gather(*(port.post("/ask", b"{" * size) for size in sizes))
    assert [json.loads(text)["length"] for _, text in answers] == list(sizes)


@pytest.mark.rule("config-11.3.reload")
async def test_a_new_certificate_is_shown_at_once(port: Port) -> None:
    """Connections that stand go on, new ones see the new pair, whatever its kind of key."""
    url = f"https://127.0.0.1:{port.server.port}/ask"
    first = await shown(port)
    made = answer(Question({}, NAME, time.time())).material
    async with aiohttp.ClientSession() as session:
        async with session.post(url, data=b"{}", headers=JSON, ssl=port.trust) as response:
            assert response.status == 200
        port.server.serve_with(made.pair)
        async with session.post(url, data=b"{}", headers=JSON, ssl=port.trust) as response:
            assert response.status == 200
    second = await shown(port)
    assert second != first
    assert second.strip() in made.pair.decode()
    again = make_pem()
    port.server.serve_with(again)
    assert (await shown(port)).strip() in again.decode()


async def test_a_pair_that_does_not_fit_is_refused(port: Port) -> None:
    """What was served stays."""
    before = await shown(port)
    with pytest.raises((OSError, ValueError)):
        port.server.serve_with(b"no certificate")
    assert await shown(port) == before


async def test_a_client_that_trusts_the_authority_only_is_content(port: Port) -> None:
    """The chain is what the API server verifies: authority, name, and time."""
    made = answer(Question({}, NAME, time.time())).material
    port.server.serve_with(made.pair)
    trust = ssl.create_default_context(cadata=made.authorities[0])
    status, _ = await port.post("/ask", b"{}", ssl=trust, server_hostname=NAME)
    assert status == 200
    with pytest.raises(aiohttp.ClientConnectorCertificateError):
        await port.post("/ask", b"{}", ssl=trust, server_hostname="other.metallb.svc")


async def test_without_certificate_nobody_listens(background: Any) -> None:
    """The port opens with the first certificate."""
    server = WebhookServer({}, options=TlsOptions(), registry=Registry(), host="127.0.0.1", port=0)
    async with background(server.run()):
        await asyncio.sleep(0.01)
        assert not server.started.is_set()
        server.serve_with(make_pem())
        await server.started.wait()


async def test_kept_connections_do_not_hold_up_the_end(
    background: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that is told to stop stops, whoever might still want to ask something."""
    monkeypatch.setattr(room, "SHUTDOWN_S", 60.0)
    async with asyncio.timeout(10), aiohttp.ClientSession() as session, _port(background) as port:
        url = f"https://127.0.0.1:{port.server.port}/ask"
        async with session.post(url, data=b"{}", headers=JSON, ssl=port.trust) as response:
            assert response.status == 200


@pytest.mark.rule("config-11.3.http2")
async def test_http2_is_not_spoken(port: Port) -> None:
    """A client that prefers it is not promised it."""
    port.trust.set_alpn_protocols(["h2", "http/1.1"])
    _, writer = await asyncio.open_connection("127.0.0.1", port.server.port, ssl=port.trust)
    assert writer.get_extra_info("ssl_object").selected_alpn_protocol() != "h2"
    writer.transport.abort()


@pytest.mark.parametrize(
    ("version", "is_answered"), [(ssl.TLSVersion.TLSv1_2, False), (ssl.TLSVersion.TLSv1_3, True)]
)
@pytest.mark.rule("controller-3.tls-both")
async def test_the_tls_options_hold(
    port: Port, version: ssl.TLSVersion, *, is_answered: bool
) -> None:
    """Without a flag only TLS 1.3 is spoken, with every certificate."""
    port.server.serve_with(make_pem())
    port.trust.minimum_version = ssl.TLSVersion.TLSv1_2
    port.trust.maximum_version = version
    if is_answered:
        assert (await port.post("/ask", b"{}"))[0] == 200
    else:
        with pytest.raises(aiohttp.ClientConnectorError):
            await port.post("/ask", b"{}")


@pytest.mark.parametrize(
    ("text", "patience_s"),
    [("10s", 8), ("1s", 0.5), ("30s", 8), ("", 8), ("x", 8), ("-1s", 8), ("5s", 3)],
)
def test_patience_follows_the_query(text: str, patience_s: float) -> None:
    """An answer is ready before the API server gives up."""
    request: Any = SimpleNamespace(query={"timeout": text} if text else {})
    assert room._patience_s(request) == patience_s

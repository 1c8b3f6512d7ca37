"""Who may call: peers, and of those with a password only ones whose password the kernel checks."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import TYPE_CHECKING

from mercurylb.announcer import listeners
from mercurylb.announcer.listeners import Listeners
from mercurylb.bgp.settings import Key, PeerSettings
from mercurylb.errors import LinkError
from mercurylb.net.tcp_listener import Listener

if TYPE_CHECKING:
    import pytest

    from mercurylb.net.tcp_option import TcpSettings

SECURE = PeerSettings(name="secure", address="127.0.0.1", my_asn=1, password=Key(b"secret"))
OPEN = PeerSettings(name="open", address="127.0.0.2", my_asn=1)


def free_port() -> int:
    """Give a port that nobody has."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


async def call(port: int, source: str) -> bytes:
    """Call from an address; give what is said before the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
    try:
        return await asyncio.wait_for(reader.read(), 30)
    finally:
        writer.close()


async def test_a_kernel_without_tcp_md5_costs_only_the_peers_with_a_password(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody gets in without the password he is to have; the others do, and one line says why."""

    def refuse(_self: Listener, settings: TcpSettings) -> None:
        del settings
        raise LinkError("TCP MD5", "this kernel does not have it")

    monkeypatch.setattr(Listener, "add_key", refuse)
    monkeypatch.setattr(listeners, "RETRY_S", 0.01)
    port = free_port()
    accepted: list[str] = []

    def accept(sock: socket.socket, peer: PeerSettings) -> None:
        accepted.append(peer.name)
        sock.sendall(b"welcome")
        sock.close()

    by_address = {peer.address: peer.name for peer in (SECURE, OPEN)}
    door = Listeners(port, lambda remote, **_: by_address.get(remote), accept)
    door.take((SECURE, OPEN))
    try:
        assert await call(port, "127.0.0.2") == b"welcome"
        assert await call(port, "127.0.0.1") == b""
        await asyncio.sleep(0.1)  # It is tried again, and said once.
    finally:
        door.close()
    assert accepted == ["open"]
    assert door.strangers_count == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["event"] for line in lines] == ["bgp.listen_failed"]
    assert "peer secure is not accepted: TCP MD5" in lines[0]["error"]

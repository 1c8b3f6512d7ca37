"""What the original library sends, byte for byte, and what it makes of what we send."""

from __future__ import annotations

import asyncio
import hashlib
import random
from typing import TYPE_CHECKING, cast

import pytest

from mercurylb.membership.swim import lzw, message, packet
from mercurylb.membership.swim.keyring import derive_key
from mercurylb.membership.swim.message import (
    VSN,
    Ack,
    Alive,
    Dead,
    ErrorMessage,
    IndirectPing,
    Nack,
    NodeState,
    Ping,
    PushPull,
    State,
    Suspect,
)
from mercurylb.membership.swim.packet import PacketCodec
from mercurylb.membership.swim.stream import StreamDecoder, encode_stream
from mercurylb.net.aead import AesGcm
from tests.interop.gossip import GoError, GoProcess
from tests.interop.written import check_written

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from mercurylb.membership.swim.message import Message

pytestmark = pytest.mark.lab

PORT = 7946
GO, OURS, THIRD = "127.0.1.1", "127.0.1.2", "127.0.1.3"
KEY = derive_key(b"secret")
TIMING = {"probe_interval_ms": 200, "probe_timeout_ms": 80, "gossip_interval_ms": 50}


def packed(address: str) -> bytes:
    """Return an address as members tell it."""
    return bytes(int(part) for part in address.split("."))


def state(name: str, address: str, incarnation: int = 1) -> NodeState:
    """Return a live member without metadata."""
    return NodeState(name, packed(address), PORT, b"", incarnation, State.ALIVE, VSN)


class Wiretap(asyncio.DatagramProtocol):
    """A plain socket that keeps what comes."""

    def __init__(self) -> None:
        self.arrived: asyncio.Queue[bytes] = asyncio.Queue()
        self.transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what to send with."""
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: object) -> None:
        """Keep what came."""
        del addr
        self.arrived.put_nowait(data)

    def send(self, payload: bytes, address: str = GO) -> None:
        """Send to the library."""
        assert self.transport is not None
        self.transport.sendto(payload, (address, PORT))


class Peer:
    """Somebody who speaks with our codec to one member of the library, and checks every byte."""

    def __init__(self, codec: PacketCodec, tap: Wiretap, go: GoProcess) -> None:
        self.codec = codec
        self.tap = tap
        self.go = go
        self.request: Message | None = None
        self.requested = b""

    async def until(self, is_wanted: Callable[[Message], bool]) -> Message:
        """Return the next wanted message; answer pings, and check the bytes of all, on the way."""
        async with asyncio.timeout(10):
            while True:
                for found in check_written(self.codec, await self.tap.arrived.get()):
                    if isinstance(found, Ping) and found.node == "ours":
                        self.say(Ack(found.seq))
                    if is_wanted(found):
                        return found

    def say(self, *said: Message, has_crc: bool = False) -> None:
        """Send messages to the library."""
        self.tap.send(self.codec.encode([message.encode(one) for one in said], has_crc=has_crc))

    async def exchange(self, request: bytes) -> bytes:
        """Open a connection to the library, send bytes, return all that comes back."""
        async with asyncio.timeout(10):
            reader, writer = await asyncio.open_connection(GO, PORT, local_addr=(OURS, 0))
            writer.write(request)
            received = await reader.read(-1)
            writer.close()
        return received

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read the library's push/pull, answer with ourselves."""
        decoder = StreamDecoder(self.codec)
        found = None
        while found is None and (data := await reader.read(65536)):
            self.requested += data
            found = decoder.feed(data)
        self.request = found
        if isinstance(found, PushPull):
            said = PushPull((state("ours", OURS),), is_join=found.is_join)
            writer.write(encode_stream(said, self.codec, is_reply=True))
        writer.close()


@pytest.fixture(params=["clear", "compressed", "sealed", "sealed compressed", "labelled"])
async def peer(request: pytest.FixtureRequest, tmp_path: Path, inside: str) -> AsyncIterator[Peer]:
    """Give a peer of a member of the library, under one of the settings."""
    del inside
    is_sealed = request.param in ("sealed", "sealed compressed", "labelled")
    is_compressed = request.param in ("compressed", "sealed compressed")
    label = b"blue" if request.param == "labelled" else b""
    seal = AesGcm(KEY) if is_sealed else None
    codec = PacketCodec(seal, random.SystemRandom(), is_compressed=is_compressed, label=label)
    go = await GoProcess.start(tmp_path / "go.log")
    loop = asyncio.get_running_loop()
    transport, tap = await loop.create_datagram_endpoint(Wiretap, local_addr=(OURS, PORT))
    made = Peer(codec, tap, go)
    server = await asyncio.start_server(made.serve, OURS, PORT)
    await go.ask(
        "start",
        name="go",
        bind=GO,
        port=PORT,
        key=KEY if is_sealed else b"",
        label=label.decode(),
        compress=is_compressed,
        timing=TIMING,
    )
    yield made
    server.close()
    transport.close()
    await go.kill()


@pytest.mark.rule(
    "membership-4.push-pull",
    "membership-3.5.tcp",
    "membership-3.9.send",
    "membership-3.7.stream",
    "membership-3.8.layout",
)
async def test_a_push_pull_is_written_as_the_library_writes_it(peer: Peer) -> None:
    """The library joins us: its request is, byte for byte, what we would send in its place."""
    await peer.go.ask("join", name="go", addresses=[f"{OURS}:{PORT}"])
    assert peer.request == PushPull((state("go", GO),), is_join=True)
    if peer.codec.seal is None:
        assert peer.requested == encode_stream(peer.request, peer.codec)
    else:
        start = len(packet.label_header(peer.codec.label))
        sealed = peer.requested[start + 5 :]
        head = peer.requested[start : start + 5]
        plain = packet.unseal(peer.codec.seal, sealed, head + peer.codec.label)
        clear = PacketCodec(None, random.Random(), is_compressed=peer.codec.is_compressed)
        assert plain == encode_stream(peer.request, clear)
        assert len(peer.requested) == len(encode_stream(peer.request, peer.codec))
    nodes = (await peer.go.ask("list", name="go"))["nodes"]
    assert [node["name"] for node in nodes] == ["go", "ours"]


@pytest.mark.rule("membership-3.2.bodies", "membership-3.6.layout", "membership-10.accepts")
async def test_datagrams_are_written_as_the_library_writes_them(peer: Peer) -> None:
    """Pings, gossip, suspicions, refutations, indirect pings and nacks, in their envelopes."""
    await peer.go.ask("join", name="go", addresses=[f"{OURS}:{PORT}"])
    ping = await peer.until(lambda found: isinstance(found, Ping))
    assert isinstance(ping, Ping)
    assert ping == Ping(ping.seq, "ours", packed(GO), PORT, "go")

    peer.say(Ping(77, "go", packed(OURS), PORT, "ours"))
    await peer.until(lambda found: found == Ack(77))

    peer.say(Suspect(1, "go", "ours"), Alive(3, "third", packed(THIRD), PORT), has_crc=True)
    await peer.until(lambda found: found == Alive(2, "go", packed(GO), PORT))

    peer.say(IndirectPing(88, packed(THIRD), PORT, "third", True, packed(OURS), PORT, "ours"))
    await peer.until(lambda found: found == Nack(88))
    relay = await peer.until(lambda found: isinstance(found, IndirectPing))
    assert isinstance(relay, IndirectPing)
    assert relay == IndirectPing(
        relay.seq, packed(THIRD), PORT, "third", True, packed(GO), PORT, "go"
    )
    await peer.until(lambda found: found == Suspect(3, "third", "go"))
    await peer.until(lambda found: found == Dead(3, "third", "go"))


@pytest.mark.rule("membership-4.requests", "membership-3.9.receive")
async def test_the_library_answers_what_we_ask_by_connection(peer: Peer) -> None:
    """Ping and push/pull; its replies are what we would reply."""
    codec = peer.codec
    received = await peer.exchange(encode_stream(Ping(5, "go"), codec))
    assert StreamDecoder(codec, is_reply=True).feed(received) == Ack(5)
    said = PushPull((state("ours", OURS),), is_join=True)
    received = await peer.exchange(encode_stream(said, codec))
    found = StreamDecoder(codec, is_reply=True).feed(received)
    assert isinstance(found, PushPull)
    assert found.is_join
    assert {node.name for node in found.nodes} >= {"go"}
    if codec.seal is None:
        assert received == encode_stream(found, codec, is_reply=True)


@pytest.mark.rule("membership-3.7.told")
async def test_the_library_and_we_refuse_alike(peer: Peer) -> None:
    """Without the key, or with one where there is none: an error message, in the own way."""
    codec = peer.codec
    other = AesGcm(derive_key(b"another")) if codec.seal is None else None
    stranger = PacketCodec(other, random.SystemRandom(), label=codec.label)
    request = encode_stream(Ping(5, "go"), stranger)
    theirs = StreamDecoder(codec, is_reply=True).feed(await peer.exchange(request))
    assert isinstance(theirs, ErrorMessage)
    ours = StreamDecoder(codec)
    with pytest.raises(Exception, match="encrypted"):
        ours.feed(request)
    assert isinstance(StreamDecoder(codec, is_reply=True).feed(ours.refusal()), ErrorMessage)


@pytest.mark.rule("membership-3.5.lzw", "membership-3.5.full-table")
async def test_compression_is_that_of_go(tmp_path: Path, inside: str) -> None:
    """Both ways, at every size at which a table changes its width or begins anew."""
    del inside
    go = await GoProcess.start(tmp_path / "go.log")
    noise = b"".join(hashlib.sha256(bytes((n & 255, n >> 8))).digest() for n in range(600))
    sizes = [*range(250, 262), *range(508, 516), *range(764, 772), *range(3830, 3850), 7680, 19000]
    for size in sizes:
        ours = lzw.compress(noise[:size])
        assert ours == await go.convert("compress", noise[:size])
        assert await go.convert("decompress", ours) == noise[:size]
    with pytest.raises(GoError):
        await go.convert("decompress", ours[:-1])
    await go.kill()

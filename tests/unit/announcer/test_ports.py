"""Interfaces that the kernel refuses: said once, left to others, tried again, the rest goes on."""

from __future__ import annotations

import asyncio
import errno
import json
from typing import TYPE_CHECKING, Any, cast

import pytest

from mercurylb.announcer import ports
from mercurylb.announcer.ports import Ports
from mercurylb.errors import LinkError
from mercurylb.layer2.effect import CloseInterface, OpenInterface
from mercurylb.layer2.interface import Interface

if TYPE_CHECKING:
    from collections.abc import Callable

Json = dict[str, Any]
ETH0, ETH1 = (Interface(n, f"eth{n}", bytes(6), True, True, None) for n in (1, 2))


class Opened:
    """Stands for sockets that the kernel gave."""

    send_errors = 0

    def close(self) -> None:
        """Do nothing."""


class Host:
    """A kernel that refuses interfaces, and a core that asks for them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.refusals: dict[str, int] = {}
        self.reports: list[frozenset[int]] = []
        self.attempts: list[str] = []
        monkeypatch.setattr(ports, "PacketPort", self._open)
        monkeypatch.setattr(ports, "RETRY_S", 0.01)
        monkeypatch.setattr(ports, "RETRY_MAX_S", 0.02)
        self.ports = Ports(
            cast("Any", type("Core", (), {"responder": cast("Any", _Responder())})()),
            cast("Any", None),
            cast("Any", type("Fence", (), {"dropped_count": 0})()),
            on_broken=self._report,
        )

    def _open(self, interface: Interface, **_: object) -> Opened:
        self.attempts.append(interface.name)
        number = self.refusals.get(interface.name)
        if number is not None:
            raise LinkError(interface.name, errno.errorcode[number], errno=number)
        return Opened()

    def _report(self) -> None:
        """Do what the core does: close what is broken, open what is not any more."""
        broken = self.ports.broken
        self.reports.append(broken)
        for interface in (ETH0, ETH1):
            if interface.index in broken:
                self.ports.perform(CloseInterface(interface.index))
            elif self.reports[-2:-1] and interface.index in self.reports[-2]:
                self.ports.perform(OpenInterface(interface))

    def open(self, *interfaces: Interface) -> None:
        """Open interfaces for the first time."""
        for interface in interfaces:
            self.ports.perform(OpenInterface(interface))


class _Responder:
    answer_arp = answer_ndp = None


async def until(condition: Callable[[], object]) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 (nobody tells)
            await asyncio.sleep(0.005)


def told(capsys: pytest.CaptureFixture[str]) -> list[Json]:
    """Give what was logged."""
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize(
    ("number", "advice"),
    [(errno.EPERM, "NET_RAW"), (errno.EAFNOSUPPORT, "CONFIG_PACKET"), (errno.ENOPROTOOPT, "BPF")],
)
async def test_a_host_without_packet_sockets_says_so_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: int, advice: str
) -> None:
    """However many interfaces and attempts: one line with what to do, and nothing is carried."""
    host = Host(monkeypatch)
    host.refusals = {"eth1": number, "eth2": number}
    host.open(ETH0, ETH1)
    assert host.ports.broken == {1, 2}
    await until(lambda: host.attempts.count("eth1") > 3)
    assert {1, 2} in host.reports, "the core knows, so that others take over"
    (line,) = told(capsys)
    assert line["event"] == "layer2.impossible"
    assert advice in line["todo"]
    assert host.ports.drops()["wire interfaces failed"] >= 4


async def test_one_interface_that_fails_costs_that_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is named once, tried again, and said to be back; the other one is left alone."""
    host = Host(monkeypatch)
    host.refusals = {"eth1": errno.ENODEV}
    host.open(ETH0, ETH1)
    await until(lambda: host.attempts.count("eth1") > 3)
    assert host.attempts.count("eth2") == 1
    host.refusals.clear()
    await until(lambda: host.reports and not host.ports.broken and not host.reports[-1])
    events = [line["event"] for line in told(capsys)]
    assert events == ["layer2.interface_failed", "layer2.interface_recovered"]

"""Capture a namespace's link, and let tshark judge what was captured."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

from lab import netns
from tests.interop.bgp.daemon import Daemon, wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

BASE_LENGTH_MAX = 4096
OURS = "(ip.src == 10.90.1.0/24 or ipv6.src == fd90::1:0/112 or sll.pkttype == 4)"
"""What the shared node sent."""
_PORTS = ("179", "1790", "1791")


class Capture:
    """A capture that runs."""

    def __init__(self, namespace: str, file: Path) -> None:
        self.file = file
        ports = " or ".join(f"port {port}" for port in (*_PORTS, "3784", "4784"))
        argv = ["/usr/bin/dumpcap", "-i", "any", "-q", "-w", str(file), "-B", "64"]
        argv += ["-f", f"{ports} or icmp6"]
        self.log = file.with_suffix(".log")
        self.daemon = Daemon(argv, namespace=namespace, log=self.log)
        wait_until(lambda: self.daemon.check() and file.exists(), "the capture runs")

    def close(self) -> None:
        """End it; the file is whole then."""
        self.daemon.close()

    def judge(self) -> Judgement:
        """Decode what there is by now."""
        copy = self.file.with_name("judged.pcapng")
        shutil.copyfile(self.file, copy)
        return Judgement(copy)


class Judgement:
    """What tshark says of a capture."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def select(self, display_filter: str, *fields: str) -> list[list[str]]:
        """Return fields of the packets that a filter picks."""
        decode = [word for port in _PORTS for word in ("-d", f"tcp.port=={port},bgp")]
        argv = ["/usr/bin/tshark", "-r", str(self.file), *decode, "-Y", display_filter]
        argv += ["-T", "fields", "-E", "separator=\t"]
        for name in ("frame.number", *fields):
            argv += ["-e", name]
        done = netns.command(argv, timeout_s=120, check=False)
        return [line.split("\t") for line in done.stdout.splitlines()]

    def complaints(self, ours: str) -> list[list[str]]:
        """Return the packets of ours that are malformed or wrong in the dissector's eyes."""
        judged = "(_ws.malformed or _ws.expert.severity == error)"
        found = self.select(
            f"({ours}) and {judged} and (bgp or bfd or icmpv6)",
            "_ws.expert.message",
            "_ws.col.Info",
        )
        return [row for row in found if not _is_extended(row)]


def _is_extended(row: list[str]) -> bool:
    """Tell whether the dissector complains of nothing but a message that RFC 8654 allows."""
    complaint = re.fullmatch(r"Length is invalid (\d+)", row[1])
    return bool(complaint) and int(complaint[1]) > BASE_LENGTH_MAX


def describe(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as lines."""
    return "\n".join(" ".join(row) for row in rows)

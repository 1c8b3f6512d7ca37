"""Asks FRR at each scrape and answers the kubelet and Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from aiohttp.web_response import Response

from mercurylb.errors import LinkError, ParseError
from mercurylb.frr.vtysh import (
    parse_bfd_counters,
    parse_bfd_peers,
    parse_neighbors,
    parse_vrfs,
)
from mercurylb.frr_metrics.terminal import BFD, BGP, DAEMONS, Terminal
from mercurylb.telemetry import logs as log
from mercurylb.telemetry.server import MetricsServer

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp.web_request import BaseRequest

    from mercurylb.frr_metrics.families import Families

T = TypeVar("T")


class Exporter:
    """Keeps the families at what FRR says now."""

    def __init__(self, terminal: Terminal, families: Families) -> None:
        self._terminal = terminal
        self._families = families

    async def refresh(self) -> None:
        """Ask for everything; what cannot be had is logged and has no series."""
        vrfs = await self._answers(BGP, "show bgp vrfs json", lambda text: [parse_vrfs(text)])
        names = vrfs[0] if vrfs else ()
        families = self._families
        families.show_neighbors(
            [
                (vrf, item)
                for vrf in names
                for item in await self._answers(
                    BGP, f"show bgp vrf {vrf} neighbors json", parse_neighbors
                )
            ]
        )
        families.show_bfd_peers(
            [
                (vrf, item)
                for vrf in names
                for item in await self._answers(
                    BFD, f"show bfd vrf {vrf} peers json", parse_bfd_peers
                )
            ]
        )
        families.show_bfd_counters(
            [
                (vrf, item)
                for vrf in names
                for item in await self._answers(
                    BFD, f"show bfd vrf {vrf} peers counters json", parse_bfd_counters
                )
            ]
        )

    async def missing_daemons(self) -> list[str]:
        """Name the daemons that do not answer."""
        return [name for name in DAEMONS if not await self._terminal.is_running(name)]

    async def _answers(
        self, daemon: str, question: str, parse: Callable[[str], list[T] | tuple[T, ...]]
    ) -> list[T]:
        try:
            return list(parse(await self._terminal.ask(daemon, question)))
        except (LinkError, ParseError) as error:
            log.error("metrics.frr_question_failed", daemon=daemon, question=question, error=error)
            return []


class ExporterServer(MetricsServer):
    """`/metrics` for whoever may read them, `/livez` for the kubelet."""

    exporter: Exporter

    async def refresh(self) -> None:
        """Ask FRR's daemons again and keep what they say for the next scrape."""
        await self.exporter.refresh()

    async def answer(self, request: BaseRequest) -> Response:
        """Answer a request for either path."""
        if request.path != "/livez":
            return await super().answer(request)
        missing = await self.exporter.missing_daemons()
        if not missing:
            return Response(text="ok")
        status = 500 if len(missing) == len(DAEMONS) else 404
        return Response(status=status, text=f"not running: {', '.join(missing)}\n")

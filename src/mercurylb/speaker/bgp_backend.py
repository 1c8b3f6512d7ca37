"""The BGP backends outside this speaker: what the brain asks of one, and which one it has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from mercurylb.config.resources import FRR, FRR_K8S

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from random import Random

    from mercurylb.bgp.report import SessionReport
    from mercurylb.kube.client import KubeClient
    from mercurylb.kube.writer import Writer
    from mercurylb.plan.bgp_wanted import BgpWanted
    from mercurylb.speaker.settings import SpeakerSettings


class Backend(Protocol):
    """Carries out what is wanted of BGP; with the native one the announcer does."""

    def apply(self, wanted: BgpWanted) -> None:
        """Take what is wanted from now on, at once; what follows from it follows by `run`."""

    async def run(self) -> None:
        """Carry out what is wanted until cancelled."""

    def observe(self) -> tuple[SessionReport, ...]:
        """Give how the sessions stand, as far as it is known."""


def make_backend(  # noqa: PLR0913 (what backends are made of)
    name: str,
    settings: SpeakerSettings,
    environ: Mapping[str, str],
    *,
    client: KubeClient,
    writer: Writer,
    namespace: str,
    random: Random,
    on_observed: Callable[[], None],
) -> Backend | None:
    """Make the backend of that name; None for the native one, which is the announcer."""
    if name == FRR:
        from mercurylb.speaker.frr_backend import FrrBackend  # noqa: PLC0415 (seldom needed)

        return FrrBackend(
            debounce=settings.bgp_debounce_timeout, log_level=settings.log_level, environ=environ
        )
    if name == FRR_K8S:
        from mercurylb.speaker.frrk8s_backend import FrrK8sBackend  # noqa: PLC0415 (likewise)

        home = settings.frrk8s_namespace or namespace
        return FrrK8sBackend(
            client,
            writer,
            node=settings.node_name,
            namespace=home,
            passes_secrets=settings.frrk8s_secret_passthrough or home == namespace,
            random=random,
            on_observed=on_observed,
        )
    return None

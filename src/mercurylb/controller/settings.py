"""The controller's command line and environment, parsed once (spec: controller §3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mercurylb.telemetry.daemon_flags import DAEMON_FLAGS, DaemonSettings
from mercurylb.telemetry.flags import Flag, one_of, parse_into

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ENABLED: Final = "enabled"
DISABLED: Final = "disabled"
ONLY_WEBHOOK: Final = "onlywebhook"
WEBHOOK_MODES: Final = (ENABLED, DISABLED, ONLY_WEBHOOK)

FLAGS: Final = (
    *DAEMON_FLAGS,
    Flag(
        "ml-secret-name",
        "",
        "name of the membership's secret, made when it is missing; none when empty",
        env="METALLB_ML_SECRET_NAME",
    ),
    Flag(
        "deployment", "", "name of the Deployment that owns that secret", env="METALLB_DEPLOYMENT"
    ),
    Flag(
        "leader-elect",
        True,
        "act only while holding the lease; false when nobody else can act",
    ),
    Flag(
        "webhook-mode",
        ENABLED,
        f"whether webhooks are served: {', '.join(WEBHOOK_MODES)}",
        check=one_of(*WEBHOOK_MODES),
        exit_code=1,
    ),
    Flag("webhook-secret", "metallb-webhook-cert", "secret of the webhooks' certificate"),
    Flag("webhook-http2", False, "taken for compatibility; HTTP/2 stays off"),
    Flag("disable-cert-rotation", False, "leave the webhooks' certificate alone"),
    Flag(
        "cert-dir",
        "/tmp/k8s-webhook-server/serving-certs",  # noqa: S108 (the original's default)
        "directory of the webhooks' certificate",
    ),
    Flag("cert-service-name", "metallb-webhook-service", "service of the webhooks"),
)


class ControllerSettings(DaemonSettings, frozen=True):
    """Everything a controller is told at its start."""

    ml_secret_name: str
    deployment: str
    leader_elect: bool
    webhook_mode: str
    webhook_secret: str
    webhook_http2: bool
    disable_cert_rotation: bool
    cert_dir: str
    cert_service_name: str

    @property
    def allocates(self) -> bool:
        """Tell whether services and pools are looked after."""
        return self.webhook_mode != ONLY_WEBHOOK

    @property
    def serves_webhooks(self) -> bool:
        """Tell whether the API server may ask us."""
        return self.webhook_mode != DISABLED


def parse_settings(argv: Sequence[str], environ: Mapping[str, str]) -> ControllerSettings:
    """Parse the command line; print help or the mistake and exit, as `flags.parse_into` does."""
    return parse_into(
        ControllerSettings,
        FLAGS,
        argv,
        environ,
        prog="mercurylb-controller",
        description="Gives addresses to services of type LoadBalancer.",
    )

"""The speaker's command line and environment, parsed once (spec: speaker §1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from mercurylb.telemetry.daemon_flags import DAEMON_FLAGS
from mercurylb.telemetry.flags import Flag, is_port, is_seconds, parse_into

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FLAGS: Final = (
    *DAEMON_FLAGS,
    Flag("node-name", "", "name of the node this speaker runs on", env="METALLB_NODE_NAME"),
    Flag("host", "", "taken for compatibility, ignored", env="METALLB_HOST"),
    Flag(
        "ignore-exclude-lb",
        False,
        "announce from nodes labelled node.kubernetes.io/exclude-from-external-load-balancers too",
    ),
    Flag(
        "ml-bindaddr", "", "address of the membership; off when empty", env="METALLB_ML_BIND_ADDR"
    ),
    Flag("ml-bindport", 7946, "port of the membership", env="METALLB_ML_BIND_PORT", check=is_port),
    Flag(
        "ml-labels",
        "",
        "label selector of the speakers' pods; membership is off when empty",
        env="METALLB_ML_LABELS",
    ),
    Flag(
        "ml-secret-key-path",
        "",
        "directory or file of the membership's secret key",
        env="METALLB_ML_SECRET_KEY_PATH",
    ),
    Flag("ml-wan-config", False, "taken for compatibility; the failure bounds stay those of a LAN"),
    Flag(
        "gratuitous-arp-interval",
        0,
        "seconds between gratuitous announcements of owned addresses; 0 is off",
        check=is_seconds,
    ),
    Flag(
        "bgp-debounce-timeout",
        3000,
        "milliseconds, of the frr backend only",
        env="METALLB_BGP_DEBOUNCE_TIMEOUT",
    ),
    Flag("frrk8s-namespace", "", "of the frr-k8s backend only", env="FRRK8S_NAMESPACE"),
    Flag("frrk8s-secret-passthrough", False, "of the frr-k8s backend only"),
)


class SpeakerSettings(msgspec.Struct, frozen=True):
    """Everything a speaker is told at its start."""

    port: int
    health_probe_port: int
    namespace: str
    pod_name: str
    log_level: str
    lb_class: str
    pprof_bind_address: str
    tls_min_version: str
    tls_cipher_suites: str
    tls_curve_preferences: str
    metrics_cert_dir: str
    node_name: str
    ignore_exclude_lb: bool
    ml_bindaddr: str
    ml_bindport: int
    ml_labels: str
    ml_secret_key_path: str
    gratuitous_arp_interval: int
    frrk8s_secret_passthrough: bool

    @property
    def has_membership(self) -> bool:
        """Tell whether speakers watch each other; without it the ranking alone decides."""
        return bool(self.ml_bindaddr and self.ml_labels)


def parse_settings(argv: Sequence[str], environ: Mapping[str, str]) -> SpeakerSettings:
    """Parse the command line; print help or the mistake and exit, as `flags.parse_into` does."""
    return parse_into(
        SpeakerSettings,
        FLAGS,
        argv,
        environ,
        prog="mercurylb-speaker",
        description="Announces load-balancer IPs from this node.",
    )

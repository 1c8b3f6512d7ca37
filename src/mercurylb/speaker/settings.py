"""The speaker's command line and environment, parsed once (spec: speaker §1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mercurylb.telemetry.daemon_flags import DAEMON_FLAGS, DaemonSettings
from mercurylb.telemetry.flags import Flag, is_port, is_seconds, parse_into

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def is_debounce(value: str | int | bool) -> str:  # noqa: FBT001 (the value of any flag)
    """Check a number of milliseconds; give what is wrong with it."""
    text = str(value)
    is_number = not text or (text.removeprefix("+").isdecimal() and text.isascii())
    return "" if is_number and (not text or int(text) > 0) else "must be a positive integer"


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
    Flag(
        "ml-bindport",
        "",
        "port of the membership, TCP and UDP; 7946 when empty",
        env="METALLB_ML_BIND_PORT",
    ),
    Flag(
        "ml-labels",
        "",
        "label selector of the speakers' pods; membership is off when empty",
        env="METALLB_ML_LABELS",
    ),
    Flag(
        "ml-secret-key-path",
        "",
        "directory that holds the membership's common key in the file secretkey",
        env="METALLB_ML_SECRET_KEY_PATH",
    ),
    Flag(
        "ml-wan-config",
        False,
        "gossip in the bounds of a wide area network; a configuration file goes before it",
    ),
    Flag(
        "gratuitous-arp-interval",
        0,
        "seconds between gratuitous announcements of owned addresses; 0 is off",
        check=is_seconds,
        exit_code=1,
    ),
    Flag(
        "bgp-listen-port",
        0,
        "TCP port on which BGP peers may call; they are only called when 0",
        env="METALLB_BGP_LISTEN_PORT",
        check=is_port,
        exit_code=1,
    ),
    Flag(
        "bgp-debounce-timeout",
        "",
        "milliseconds, 100 when empty; of the frr backend only",
        env="METALLB_BGP_DEBOUNCE_TIMEOUT",
        check=is_debounce,
        exit_code=1,
    ),
    Flag("frrk8s-namespace", "", "of the frr-k8s backend only", env="FRRK8S_NAMESPACE"),
    Flag("frrk8s-secret-passthrough", False, "of the frr-k8s backend only"),
)


class SpeakerSettings(DaemonSettings, frozen=True):
    """Everything a speaker is told at its start."""

    node_name: str
    ignore_exclude_lb: bool
    ml_bindaddr: str
    ml_bindport: str
    ml_labels: str
    ml_secret_key_path: str
    ml_wan_config: bool
    gratuitous_arp_interval: int
    bgp_listen_port: int
    bgp_debounce_timeout: str
    frrk8s_namespace: str
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

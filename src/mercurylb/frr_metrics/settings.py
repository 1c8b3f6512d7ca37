"""The exporter's command line, as that of the original's `frr-metrics`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from mercurylb.frr_metrics.terminal import FOLDER
from mercurylb.telemetry.flags import Flag, is_port, parse_into

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FLAGS: Final = (
    Flag("metrics-port", 9121, "HTTPS port of the metrics", check=is_port),
    Flag("metrics-bind-address", "0.0.0.0", "address to listen on"),  # noqa: S104 (as the original)
    Flag("metrics-path", "/metrics", "path of the metrics"),
    Flag("tls-cert-file", "", "certificate; self-signed when empty"),
    Flag("tls-private-key-file", "", "key of the certificate"),
    Flag("tls-cipher-suites", "", "comma list of Go's cipher suite names, for TLS 1.2"),
    Flag("tls-curve-preferences", "", "comma list of numeric key-exchange groups"),
    Flag("tls-min-version", "", "lowest TLS version served: VersionTLS12 or VersionTLS13"),
    Flag("vty-socket-dir", FOLDER, "folder of the terminal sockets of FRR's daemons"),
)


class ExporterSettings(msgspec.Struct, frozen=True):
    """Everything the exporter is told at its start."""

    metrics_port: int
    metrics_bind_address: str
    metrics_path: str
    tls_cert_file: str
    tls_private_key_file: str
    tls_cipher_suites: str
    tls_curve_preferences: str
    tls_min_version: str
    vty_socket_dir: str


def parse_settings(argv: Sequence[str], environ: Mapping[str, str]) -> ExporterSettings:
    """Parse the command line; print help or the mistake and exit, as `flags.parse_into` does."""
    return parse_into(
        ExporterSettings,
        FLAGS,
        argv,
        environ,
        prog="mercurylb-frr-metrics",
        description="Shows what FRR knows of its sessions as Prometheus metrics.",
    )

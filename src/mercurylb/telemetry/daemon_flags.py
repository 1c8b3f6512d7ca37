"""The flags that controller and speaker have in common, as MetalLB 0.16 has them."""

from __future__ import annotations

from typing import Final

import msgspec

from mercurylb.telemetry.flags import Flag, FlagError, is_port, one_of
from mercurylb.telemetry.logs import LEVELS

DAEMON_FLAGS: Final = (
    Flag("port", 9120, "HTTPS port of /metrics; 0 switches it off", check=is_port),
    Flag("health-probe-port", 17472, "HTTP port of /healthz and /readyz", check=is_port),
    Flag(
        "namespace",
        "",
        "namespace of the configuration; the service account's own when empty",
        env="METALLB_NAMESPACE",
    ),
    Flag("pod-name", "", "name of this program's own pod", env="METALLB_POD_NAME"),
    Flag(
        "log-level",
        "info",
        "how much is logged",
        check=one_of(*LEVELS),
        exit_code=1,
        complaint="failed to initialize logging: ",
    ),
    Flag("lb-class", "", "only services of this loadBalancerClass are looked after"),
    Flag("pprof-bind-address", "", "taken for compatibility; there is no Go profile to serve"),
    Flag("tls-min-version", "", "lowest TLS version served: VersionTLS12 or VersionTLS13"),
    Flag("tls-cipher-suites", "", "comma list of Go's cipher suite names, for TLS 1.2"),
    Flag("tls-curve-preferences", "", "comma list of numeric key-exchange groups"),
    Flag(
        "metrics-cert-dir",
        "",
        "directory with tls.crt and tls.key for /metrics; self-signed when empty",
    ),
    Flag(
        "shadow",
        False,
        "run beside another load balancer: write and announce nothing, log what would differ",
    ),
)


class DaemonSettings(msgspec.Struct, frozen=True):
    """The values of `DAEMON_FLAGS`."""

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
    shadow: bool


def known_namespace(namespace: str | None) -> str:
    """Return the namespace of the configuration; raise FlagError if flag and pod are silent."""
    if not namespace:
        raise FlagError(
            "the namespace of the configuration is not known: give --namespace or METALLB_NAMESPACE"
        )
    return namespace


def known_pod(pod_name: str) -> str:
    """Return the name of the program's own pod; raise FlagError if it was not told."""
    if not pod_name:
        raise FlagError("the own pod is not known: give --pod-name or METALLB_POD_NAME")
    return pod_name

"""What a speaker makes of its settings before anything runs, and why it would rather not start.

The checks come in the original's order (spec: speaker §1.1) and end the program with 1: the secret,
the membership's port and its configuration file, the excluded interfaces, the flags of frr-k8s.
TLS flags, namespace and own pod are the brain's concern.

Nothing here is read a second time: secret, membership and exclusions need a restart.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mercurylb.announcer import AnnouncerSettings, MembershipSettings
from mercurylb.announcer.settings import MEMBERSHIP_PORT
from mercurylb.errors import MercuryError
from mercurylb.membership.swim.config import LAN, WAN, SwimConfig, parse_config
from mercurylb.net.host import first_private_ipv4
from mercurylb.speaker.exclusion import EXCLUSION_FILE, load_exclusions
from mercurylb.telemetry import logs as log

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mercurylb.speaker.settings import SpeakerSettings

BACKEND_ENV: Final = "METALLB_BGP_TYPE"
NATIVE: Final = "native"
FRR: Final = "frr"
FRR_K8S: Final = "frr-k8s"
BACKENDS: Final = (NATIVE, FRR, FRR_K8S)
"""As in `config.resources`, which would bring more into the announcer than three words."""
SECRET_FILE: Final = "secretkey"  # noqa: S105 (a file's name)
MEMBERLIST_FILE: Final = Path("/etc/metallb/memberlist/config.json")
PORT_MAX: Final = 65_535
EVERY_ADDRESS: Final = "0.0.0.0"  # noqa: S104 (what it means is up to whoever gives the flag)


class StartError(MercuryError):
    """The speaker cannot start as it was told to; the text says what to correct."""


def backend_of(environ: Mapping[str, str]) -> str:
    """Give the value of METALLB_BGP_TYPE; absent is native, anything unknown raises StartError."""
    backend = environ.get(BACKEND_ENV, NATIVE)
    if backend not in BACKENDS:
        raise StartError(
            f"unsupported bgp implementation type: {BACKEND_ENV} is {backend!r};"
            f" use one of {', '.join(BACKENDS)}, or leave it unset"
        )
    return backend


def announcer_settings(
    settings: SpeakerSettings,
    environ: Mapping[str, str],
    *,
    memberlist_file: Path = MEMBERLIST_FILE,
    exclusion_file: Path = EXCLUSION_FILE,
) -> AnnouncerSettings:
    """Give what the announcer is told; raise StartError or ConfigError when it cannot be made."""
    backend = backend_of(environ)
    if not settings.node_name:
        raise StartError("must specify --node-name or METALLB_NODE_NAME")
    secret = read_secret(settings.ml_secret_key_path)
    membership = None
    if settings.has_membership:
        address = _bind_address(settings.ml_bindaddr)
        membership = MembershipSettings(
            bind_address=address,
            advertise_address=_host_address() if address == EVERY_ADDRESS else "",
            bind_port=_port(settings.ml_bindport),
            secret=secret,
            swim=swim_config(memberlist_file, is_wide=settings.ml_wan_config),
        )
    excluded = load_exclusions(exclusion_file)
    _check_frr_k8s(settings, backend)
    return AnnouncerSettings(
        node=settings.node_name,
        membership=membership,
        excluded_interfaces=excluded,
        gratuitous_interval_s=settings.gratuitous_arp_interval,
        bgp_listen_port=settings.bgp_listen_port if backend == NATIVE else 0,
        log_level=settings.log_level,
    )


def read_secret(path: str) -> bytes:
    """Read the common key as it is, from a directory (the original's way) or a file."""
    if not path:
        return b""
    file = Path(path)
    try:
        return (file if file.is_file() else file / SECRET_FILE).read_bytes()
    except OSError as error:
        raise StartError(
            f"failed to read memberlist secret key file: {error}; the controller makes the secret"
            " (METALLB_ML_SECRET_NAME): mount it at METALLB_ML_SECRET_KEY_PATH, or unset that"
        ) from error


def swim_config(file: Path, *, is_wide: bool) -> SwimConfig:
    """Give the gossip's bounds: the file's if there is one, else those of the kind of network."""
    try:
        raw = file.read_bytes()
    except FileNotFoundError:
        return WAN if is_wide else LAN
    except OSError as error:
        raise StartError(f"memberlist configuration {file} cannot be read: {error}") from error
    return parse_config(raw)


def tell_start(
    settings: SpeakerSettings, told: AnnouncerSettings, environ: Mapping[str, str]
) -> None:
    """Log what an operator should know about the way this speaker was started."""
    if backend_of(environ) == FRR:
        log.warning("speaker.backend_deprecated", backend=FRR)
    if told.gratuitous_interval_s:
        log.info("speaker.announces_periodically", interval_s=told.gratuitous_interval_s)
    if told.membership is None:
        missing = [
            flag
            for flag, value in (
                ("--ml-bindaddr", settings.ml_bindaddr),
                ("--ml-labels", settings.ml_labels),
            )
            if not value
        ]
        log.info("speaker.membership_disabled", missing=missing)
        log.info("speaker.every_node_is_a_candidate", node=told.node)
    elif not told.membership.secret:
        log.warning("speaker.membership_in_plaintext", path=settings.ml_secret_key_path)


def _bind_address(text: str) -> str:
    try:
        address = ipaddress.ip_address(text)
    except ValueError as error:
        raise StartError(
            f"--ml-bindaddr (or METALLB_ML_BIND_ADDR): {text!r} is no IP address"
        ) from error
    if address.is_unspecified and str(address) != EVERY_ADDRESS:
        raise StartError(
            f"--ml-bindaddr (or METALLB_ML_BIND_ADDR): {text!r} says nothing the other speakers"
            " could be told; give the node's own address"
        )
    return str(address)


def _host_address() -> str:
    """Give what the others are told by a speaker that listens everywhere."""
    address = first_private_ipv4()
    if not address:
        raise StartError(
            "--ml-bindaddr (or METALLB_ML_BIND_ADDR) is 0.0.0.0, and no interface has a private"
            " IPv4 address; give the node's own address"
        )
    return address


def _port(text: str) -> int:
    """Read a port; empty is the default."""
    if not text:
        return MEMBERSHIP_PORT
    if not (text.isascii() and text.isdecimal() and int(text[:6]) <= PORT_MAX):
        raise StartError(f"--ml-bindport (or METALLB_ML_BIND_PORT): {text!r} is no port")
    return int(text)


def _check_frr_k8s(settings: SpeakerSettings, backend: str) -> None:
    if not settings.frrk8s_secret_passthrough:
        return
    if backend != FRR_K8S:
        raise StartError(f"--frrk8s-secret-passthrough requires {BACKEND_ENV}={FRR_K8S}")
    if not settings.frrk8s_namespace:
        raise StartError("--frrk8s-secret-passthrough requires --frrk8s-namespace to be set")

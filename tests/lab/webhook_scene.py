"""What the tests of the webhooks have in common: objects to ask about, and where trust is kept."""

from __future__ import annotations

import base64
import contextlib
import socket
import ssl
import threading
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Self

import pytest

from lab import controlplane, webhooks
from lab.errors import ApiError
from mercurylb.webhook.bundle import decode_bundle, encode_bundle
from mercurylb.webhook.rotation import CA_CERT
from tests.lab.scene import HOME

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lab.light import LightLab

Json = dict[str, Any]
GROUP: Final = "/apis/metallb.io"
KINDS: Final = {
    "IPAddressPool": ("v1beta1", "ipaddresspools"),
    "L2Advertisement": ("v1beta1", "l2advertisements"),
    "BGPAdvertisement": ("v1beta1", "bgpadvertisements"),
    "BGPPeer": ("v1beta2", "bgppeers"),
    "BFDProfile": ("v1beta1", "bfdprofiles"),
    "Community": ("v1beta1", "communities"),
}
HOOKS: Final = (
    "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/"
    "metallb-webhook-configuration"
)
DEFINITION: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/bgppeers.metallb.io"
SECRET: Final = f"/api/v1/namespaces/{HOME}/secrets/metallb-webhook-cert"
DNS_NAME: Final = f"metallb-webhook-service.{HOME}.svc"
PEER: Final[Json] = {"myASN": 64512, "peerASN": 64513, "peerAddress": "192.0.2.1"}


def path(kind: str, name: str = "", *, namespace: str = HOME, version: str = "") -> str:
    """Give the path of a kind's collection, or of one object."""
    known, plural = KINDS[kind]
    base = f"{GROUP}/{version or known}/namespaces/{namespace}/{plural}"
    return f"{base}/{name}" if name else base


def body(kind: str, name: str, *, version: str = "", **spec: Any) -> Json:
    """Make an object."""
    return {
        "apiVersion": f"metallb.io/{version or KINDS[kind][0]}",
        "kind": kind,
        "metadata": {"name": name},
        "spec": spec,
    }


class Desk:
    """Creates objects that go again, and remembers nothing else."""

    def __init__(self, lab: LightLab) -> None:
        self.lab = lab
        self.api = lab.api
        self._made: list[str] = []

    def create(self, kind: str, name: str, *, version: str = "", **spec: Any) -> Json:
        """Create an object in the one namespace."""
        where = path(kind, version=version)
        made: Json = self.api.post(where, body(kind, name, version=version, **spec))
        self._made.append(path(kind, name))
        return made

    def update(self, kind: str, name: str, **spec: Any) -> Json:
        """Change fields of an object."""
        changed: Json = self.api.merge(path(kind, name), {"spec": spec})
        return changed

    def refused(self, act: Callable[[], object]) -> str:
        """Give the text of a refusal, which must come from one of our webhooks."""
        with pytest.raises(ApiError) as caught:
            act()
        assert caught.value.status in {400, 403}, caught.value
        assert "denied the request" in str(caught.value)
        return str(caught.value)

    def clear(self) -> None:
        """Remove what was made, profiles last."""
        for made in reversed(self._made):
            with contextlib.suppress(ApiError):
                self.api.delete(made)


class Asking:
    """Asks the API server for admission and conversion without a pause, and keeps what failed."""

    def __init__(self, lab: LightLab) -> None:
        self.failures: list[str] = []
        self.count = 0
        self._lab = lab
        self._ends = threading.Event()

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._ends.set()
        self._thread.join()

    def _run(self) -> None:
        api = controlplane.client(self._lab.site)  # A connection of its own.
        where = path("BGPPeer", version="v1beta1") + "?dryRun=All"
        while not self._ends.is_set():
            try:
                api.post(where, body("BGPPeer", "asked", version="v1beta1", **PEER))
            except (ApiError, OSError) as failed:
                self.failures.append(str(failed))
            self.count += 1
            self._ends.wait(0.02)
        api.close()


def contents(lab: LightLab) -> dict[str, str]:
    """Give what the secret holds, in base64."""
    data: dict[str, str] = lab.api.get(SECRET).get("data") or {}
    return data


def trusted(lab: LightLab) -> list[set[bytes]]:
    """Give the authorities in each field of both targets."""
    hooks = lab.api.get(HOOKS)["webhooks"]
    conversion = lab.api.get(DEFINITION)["spec"]["conversion"]["webhook"]
    configs = [hook["clientConfig"] for hook in hooks] + [conversion["clientConfig"]]
    return [set(decode_bundle(config.get("caBundle"))) for config in configs]


def authorities(lab: LightLab) -> set[bytes]:
    """Give the authorities in the secret."""
    return set(decode_bundle(contents(lab)[CA_CERT]))


def shown(lab: LightLab) -> str:
    """Give the certificate that the port shows."""
    with lab.control_plane.inside():
        return ssl.get_server_certificate((lab.site.plan.control_plane.ipv4, 9443), timeout=5)


def set_secret(lab: LightLab, made: dict[str, bytes] | None) -> None:
    """Replace what the secret holds."""
    data = {key: base64.b64encode(value).decode() for key, value in (made or {}).items()}
    whole = lab.api.get(SECRET)
    whole.pop("data", None)
    lab.api.request("PUT", SECRET, whole | ({"data": data} if data else {}))


@contextmanager
def another_controller(lab: LightLab, *args: str) -> Iterator[None]:
    """Run the controller with other arguments for a while."""
    usual = lab.controller
    usual.stop()
    spec = usual.record.spec
    changed = replace(spec, name="controller-other", argv=(spec.argv[0], *args))
    other = lab.site.processes.start(changed)
    try:
        webhooks.await_answered(lab.api, HOME)
        yield
    finally:
        other.stop()
        other.discard()
        usual.start()
        webhooks.await_answered(lab.api, HOME)


def inject(lab: LightLab, bundle: tuple[bytes, ...]) -> None:
    """Do by hand what an operator does who keeps certificates himself."""
    config = {"caBundle": encode_bundle(bundle)}
    hooks = lab.api.get(HOOKS)["webhooks"]
    for hook in hooks:
        hook["clientConfig"] |= config
    lab.api.merge(HOOKS, {"webhooks": hooks})
    lab.api.merge(DEFINITION, {"spec": {"conversion": {"webhook": {"clientConfig": config}}}})


def send(lab: LightLab, data: bytes, *, then_silent: bool = False) -> bytes:
    """Send bytes to the port as any pod could; give the beginning of the answer."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    address = (lab.site.plan.control_plane.ipv4, 9443)
    with lab.control_plane.inside():
        plain = socket.create_connection(address, 10)
    with contextlib.suppress(OSError), context.wrap_socket(plain) as tls:
        tls.settimeout(15)
        with contextlib.suppress(OSError):
            tls.sendall(data)
        if then_silent:
            tls.unwrap()
        return tls.recv(100)
    return b""


def request(data: bytes, *, length: int | None = None, kind: str = "application/json") -> bytes:
    """Make a request with a body; its length may be a lie."""
    head = f"POST /convert HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\n"
    size = len(data) if length is None else length
    return f"{head}Content-Length: {size}\r\n\r\n".encode() + data

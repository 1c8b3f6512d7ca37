"""Where credentials come from, how they are renewed, and that they stay secret."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import ssl
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from mercurylb.errors import Unreachable
from mercurylb.kube.credentials import (
    KubeconfigCredentials,
    ServiceAccountCredentials,
    load_credentials,
    read_namespace,
)
from mercurylb.telemetry.selfsigned import make_pem

if TYPE_CHECKING:
    from pathlib import Path

POD = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}


@pytest.fixture(scope="module")
def pem() -> str:
    """Make a certificate and its key, in one text."""
    return make_pem().decode()


@pytest.fixture
def account(tmp_path: Path, pem: str) -> Path:
    """Make a service account's directory."""
    (tmp_path / "token").write_text("first\n")
    (tmp_path / "namespace").write_text("metallb-system\n")
    (tmp_path / "ca.crt").write_text(pem.partition("-----BEGIN PRIVATE")[0])
    return tmp_path


def kubeconfig(path: Path, user: dict[str, Any], **cluster: Any) -> str:
    """Write a kubeconfig with one of everything."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "lab",
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1", **cluster}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [
            {"name": "lab", "context": {"cluster": "c", "user": "u", "namespace": "here"}}
        ],
    }
    file = path / "kubeconfig"
    file.write_text(yaml.safe_dump(content))
    return str(file)


async def test_service_account(account: Path) -> None:
    """A pod uses its own account."""
    credentials = await load_credentials(POD, service_account_dir=account)
    assert isinstance(credentials, ServiceAccountCredentials)
    assert credentials.server == "https://10.96.0.1:443"
    assert await credentials.authorization() == "Bearer first"
    assert credentials.namespace() == read_namespace(account) == "metallb-system"
    context = credentials.ssl_context()
    assert context is not None
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert len(context.get_ca_certs()) == 1


def test_ipv6_server(account: Path) -> None:
    """An IPv6 service address stands in brackets."""
    environ = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "6443"}
    assert ServiceAccountCredentials(environ, account).server == "https://[fd00::1]:6443"


async def test_token_is_read_again_each_minute_and_after_a_refusal(account: Path) -> None:
    """The kubelet renews the token; a moment without the file keeps the one we have."""
    now = 1000.0
    credentials = ServiceAccountCredentials(POD, account, clock=lambda: now)
    assert await credentials.authorization() == "Bearer first"
    (account / "token").write_text("second")
    now += 59
    assert await credentials.authorization() == "Bearer first"
    now += 1
    assert await credentials.authorization() == "Bearer second"
    (account / "token").write_text("third")
    assert await credentials.renew()
    assert not await credentials.renew()
    assert await credentials.authorization() == "Bearer third"
    (account / "token").unlink()
    now += 60
    assert await credentials.authorization() == "Bearer third"


async def test_kubeconfig_goes_before_the_service_account(account: Path, tmp_path: Path) -> None:
    """As in controller-runtime: what KUBECONFIG names is what the operator meant."""
    path = kubeconfig(tmp_path, {"token": "secret-t"})
    environ = {**POD, "KUBECONFIG": path}
    credentials = await load_credentials(environ, service_account_dir=account)
    assert isinstance(credentials, KubeconfigCredentials)
    assert credentials.server == "https://127.0.0.1:1"
    assert await credentials.authorization() == "Bearer secret-t"
    assert credentials.namespace() == "here"
    assert "secret-t" not in repr(credentials) + repr(credentials._resolved)


async def test_home_is_the_last_resort(tmp_path: Path) -> None:
    """Outside a pod the usual file counts; without it, everything that was tried is named."""
    environ = {"HOME": str(tmp_path)}
    with pytest.raises(Unreachable, match=r"KUBECONFIG.*service account.*\.kube/config"):
        await load_credentials(environ, service_account_dir=tmp_path)
    (tmp_path / ".kube").mkdir()
    kubeconfig(tmp_path, {"username": "u", "password": "p"})
    (tmp_path / "kubeconfig").rename(tmp_path / ".kube" / "config")
    credentials = await load_credentials(environ, service_account_dir=tmp_path)
    expected = "Basic " + base64.b64encode(b"u:p").decode()
    assert await credentials.authorization() == expected


async def test_client_certificate(tmp_path: Path, pem: str) -> None:
    """Certificates may be inside the file or beside it."""
    data = base64.b64encode(pem.encode()).decode()
    (tmp_path / "both.pem").write_text(pem)
    for user in (
        {"client-certificate-data": data, "client-key-data": data},
        {"client-certificate": "both.pem", "client-key": "both.pem"},
    ):
        path = kubeconfig(tmp_path, user, **{"certificate-authority": "both.pem"})
        credentials = await KubeconfigCredentials.load(path)
        context = credentials.ssl_context()
        assert context is not None
        assert len(context.get_ca_certs()) == 1
        assert await credentials.authorization() == ""


async def test_exec_plugin_is_asked_again_when_its_token_runs_out(tmp_path: Path) -> None:
    """A plugin's token is used until it expires, then the plugin runs again."""
    counter = tmp_path / "count"
    counter.write_text("")
    status = {"token": "t$(wc -c < $FILE)", "expirationTimestamp": "2000-01-01T00:00:00Z"}
    answer = json.dumps({"status": status}).replace('"', '\\"')
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "sh",
        "args": ["-c", f'test -n "$KUBERNETES_EXEC_INFO"; printf x >> $FILE; echo "{answer}"'],
        "env": [{"name": "FILE", "value": str(counter)}],
    }
    path = kubeconfig(tmp_path, {"exec": plugin})
    now = 0.0
    loaded = await KubeconfigCredentials.load(path)
    credentials = KubeconfigCredentials(path, loaded._resolved, clock=lambda: now)
    assert await credentials.authorization() == "Bearer t1"
    now = 100.0
    assert await credentials.authorization() == "Bearer t2"
    # A server that goes on refusing does not start a plugin per request.
    assert not await credentials.renew()
    assert counter.read_text() == "xx"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "not a usable kubeconfig"),
        ("token: verysecret\na: [", "not YAML at line 2"),
        ("clusters: 3", "not a usable kubeconfig"),
        ("clusters: []\ncontexts: []\ncurrent-context: x", "not a usable kubeconfig"),
    ],
)
async def test_unusable_kubeconfig(tmp_path: Path, content: str, message: str) -> None:
    """A broken file is named, with a reason of one line."""
    file = tmp_path / "broken"
    file.write_text(content)
    with pytest.raises(Unreachable, match=message) as caught:
        await KubeconfigCredentials.load(str(file))
    assert str(caught.value).startswith(str(file))
    assert "\n" not in str(caught.value)
    assert "verysecret" not in str(caught.value)


@pytest.mark.parametrize(
    ("user", "message"),
    [
        ({"client-certificate": "missing.pem"}, "missing.pem cannot be read"),
        ({"exec": {"apiVersion": "v9", "command": "x"}}, "apiVersion v9 is not known"),
        (
            {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "/no/such"}},
            "exec plugin /no/such: FileNotFoundError",
        ),
        ({"auth-provider": {"name": "gcp"}}, "auth-provider is not supported"),
    ],
)
async def test_unusable_user(tmp_path: Path, user: dict[str, Any], message: str) -> None:
    """What is wrong with a user is said."""
    with pytest.raises(Unreachable, match=message):
        await KubeconfigCredentials.load(kubeconfig(tmp_path, user))


async def test_no_such_file(tmp_path: Path) -> None:
    """A variable that names nothing is a mistake, not a reason to look elsewhere."""
    with pytest.raises(Unreachable, match="no such file"):
        await load_credentials({**POD, "KUBECONFIG": str(tmp_path / "no")})


def test_missing_library_is_named(tmp_path: Path) -> None:
    """Without the optional package the message says what to install."""
    block = "import sys; sys.modules['lightkube'] = None; sys.argv = ['x', '/nowhere'];"
    code = block + "from mercurylb.kube.kubeconfig_child import main; raise SystemExit(main())"
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environ, check=False
    )
    assert ran.returncode == 1
    assert "pip install 'mercurylb[cli]'" in ran.stderr
    assert tmp_path.exists()


async def test_many_refusals_at_once_renew_once(tmp_path: Path) -> None:
    """Thirty requests that are refused together read the source one time."""
    path = kubeconfig(tmp_path, {"token": "t1"})
    loaded = await KubeconfigCredentials.load(path)
    now = 0.0
    credentials = KubeconfigCredentials(path, loaded._resolved, clock=lambda: now)
    now = 100.0
    kubeconfig(tmp_path, {"token": "t2"})
    assert all(await asyncio.gather(*(credentials.renew() for _ in range(30))))
    assert await credentials.authorization() == "Bearer t2"

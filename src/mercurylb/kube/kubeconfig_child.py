"""Read a kubeconfig in a process of its own: `python -m mercurylb.kube.kubeconfig_child PATH`.

Prints one JSON object (`credentials.Resolved`) on standard output, or one line with the reason on
standard error and ends with code 1. The heavy library behind it is gone with the process.

Understood: certificate authority, client certificate and token as data or file, basic
authentication, exec plugins (v1 and v1beta1, answering with a token or a client certificate).
`KUBECONFIG` may name several files as kubectl has it; the first that exists counts, they are not
merged.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_EXEC_TIMEOUT_S = 45
_EXEC_VERSIONS = (
    "client.authentication.k8s.io/v1",
    "client.authentication.k8s.io/v1beta1",
)


class _Unusable(Exception):  # noqa: N818 (private to this program; its text is what the user reads)
    pass


def resolve(path: str) -> dict[str, Any]:
    """Boil the current context of a file down to one server and one user."""
    # Imported here, and only in this process: see the top of the file.
    try:
        import yaml  # noqa: PLC0415
        from lightkube.config.kubeconfig import KubeConfig  # noqa: PLC0415
        from lightkube.core.exceptions import ConfigError  # noqa: PLC0415
    except ImportError:
        raise _Unusable(
            "reading a kubeconfig needs the package lightkube: pip install 'mercurylb[cli]'"
        ) from None
    try:
        single = KubeConfig.from_file(_first_existing(path)).get()
    except yaml.YAMLError as error:
        # The library's own text quotes the file, which may hold a token.
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        raise _Unusable(f"not a usable kubeconfig: not YAML{where}") from error
    except (ConfigError, OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise _Unusable(f"not a usable kubeconfig: {type(error).__name__}: {error}") from error
    if single is None:
        raise _Unusable("the kubeconfig has no current context")
    resolved = _cluster(single)
    if single.user is not None:
        resolved |= _user(single)
    return resolved


def _first_existing(path: str) -> str:
    candidates = [part for part in path.split(os.pathsep) if part]
    for candidate in candidates:
        if Path(candidate).expanduser().is_file():
            return candidate
    raise _Unusable("no such file")


def _cluster(single: Any) -> dict[str, Any]:  # noqa: ANN401 (lightkube's types are not always there)
    cluster = single.cluster
    return {
        "server": cluster.server,
        "ca": _content(cluster.certificate_auth_data, cluster.certificate_auth, single.abs_file),
        "is_insecure": bool(cluster.insecure),
        "namespace": single.context.namespace or "",
    }


def _user(single: Any) -> dict[str, Any]:  # noqa: ANN401 (as above)
    user = single.user
    if user.auth_provider:
        raise _Unusable(
            "auth-provider is not supported (kubectl dropped it too): use an exec plugin"
        )
    resolved = {
        "certificate": _content(user.client_cert_data, user.client_cert, single.abs_file),
        "key": _content(user.client_key_data, user.client_key, single.abs_file),
        "token": user.token or "",
        "username": user.username or "",
        "password": user.password or "",
    }
    if user.token_file:
        resolved["token"] = _read(single.abs_file(user.token_file)).strip()
    if user.exec:
        resolved |= _run_plugin(user.exec)
    return resolved


def _content(data: str | None, path: str | None, absolute: Callable[[str], Any]) -> str:
    if data:
        return base64.b64decode(data).decode()
    return _read(absolute(path)) if path else ""


def _read(path: str | Path) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise _Unusable(f"{path} cannot be read: {error}") from error


def _run_plugin(plugin: Any) -> dict[str, Any]:  # noqa: ANN401 (as above)
    if plugin.apiVersion not in _EXEC_VERSIONS:
        raise _Unusable(
            f"exec plugin {plugin.command}: apiVersion {plugin.apiVersion} is not known"
        )
    environ = dict(os.environ)
    environ.update((pair.name, pair.value) for pair in plugin.env or ())
    asked = {
        "apiVersion": plugin.apiVersion,
        "kind": "ExecCredential",
        "spec": {"interactive": False},
    }
    environ["KUBERNETES_EXEC_INFO"] = json.dumps(asked)
    try:
        ran = subprocess.run(  # noqa: S603 (the operator's own kubeconfig names the command)
            [plugin.command, *(plugin.args or ())],
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            timeout=_EXEC_TIMEOUT_S,
            check=True,
        )
        status = json.loads(ran.stdout)["status"]
    except (OSError, subprocess.SubprocessError, ValueError, LookupError, TypeError) as error:
        hint = f" ({plugin.installHint.strip()})" if plugin.installHint else ""
        raise _Unusable(f"exec plugin {plugin.command}: {type(error).__name__}{hint}") from error
    return {
        "token": status.get("token") or "",
        "certificate": status.get("clientCertificateData") or "",
        "key": status.get("clientKeyData") or "",
        "expires_in_s": _seconds_until(status.get("expirationTimestamp")),
    }


def _seconds_until(text: str | None) -> float | None:
    if not text:
        return None
    try:
        expiry = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    return (expiry - dt.datetime.now(dt.UTC)).total_seconds()


def main() -> int:
    """Print the credentials of the file named by the only argument."""
    try:
        print(json.dumps(resolve(sys.argv[1])))  # noqa: T201 (the pipe is this program's output)
    except _Unusable as error:
        print(" ".join(str(error).split()), file=sys.stderr)  # noqa: T201
        return 1
    except (LookupError, ValueError) as error:
        print(f"not a usable kubeconfig: {type(error).__name__}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""A real Prometheus on a host of a lab, and questions to it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

import yaml

from lab.build.apt import PROMETHEUS_PACKAGES, ensure_packages
from lab.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from lab.cluster import Lab
    from lab.host import Host

HOME: Final = "http://127.0.0.1:9090/api/v1"
OWN_LABELS: Final = frozenset({"__name__", "job", "instance"})
"""What Prometheus itself adds."""
TOKEN: Final = "token"
"""The file with the token of Prometheus, beside its configuration."""


@dataclass(frozen=True)
class Row:
    """One series as it has to be found: exactly these labels, a value, a type if one is given."""

    name: str
    kind: str
    job: str
    value: float | Callable[[float], bool]
    labels: tuple[tuple[str, str], ...] = ()
    instance: str = ""

    def fits(self, value: float) -> bool:
        """Tell whether a value is as wanted."""
        return self.value(value) if callable(self.value) else value == self.value


def row(
    name: str,
    kind: str,
    job: str,
    value: float | Callable[[float], bool],
    /,
    *,
    instance: str = "",
    **labels: str,
) -> Row:
    """Write a line of a table."""
    return Row(name, kind, job, value, tuple(sorted(labels.items())), instance)


def at_least(least: float) -> Callable[[float], bool]:
    """Make a check of what is not exactly known."""
    return lambda value: value >= least


class Prometheus:
    """Scrapes every few seconds, by HTTPS, with a bearer token, and looks at the certificates.

    It runs on the client, which reaches nodes, unless another host is named: pods have addresses
    that only the machines of the cluster know the way to.
    """

    def __init__(
        self, lab: Lab, folder: Path, *, token: str, host: Host | None = None, every_s: int = 3
    ) -> None:
        ensure_packages(PROMETHEUS_PACKAGES)
        self._lab = lab
        self._host = host or lab.client
        self._every_s = every_s
        self._folder = folder
        self._token = token
        self.jobs: list[dict[str, Any]] = []
        self.rules: list[dict[str, Any]] = []

    def add(self, job: str, targets: Sequence[str], **tls: Any) -> None:
        """Have some targets scraped as a job."""
        self.jobs.append(
            {
                "job_name": job,
                "scheme": "https",
                "authorization": {"credentials_file": TOKEN},
                "tls_config": tls,
                "static_configs": [{"targets": list(targets)}],
            }
        )

    def start(self) -> None:
        """Start it, and wait until it answers."""
        (self._folder / TOKEN).write_text(self._token)
        (self._folder / "rules.yaml").write_text(yaml.safe_dump({"groups": self.rules}))
        config = {
            "global": {
                "scrape_interval": f"{self._every_s}s",
                "scrape_timeout": f"{self._every_s}s",
                "evaluation_interval": "1s",
            },
            "rule_files": ["rules.yaml"],
            "scrape_configs": self.jobs,
        }
        file = self._folder / "prometheus.yaml"
        file.write_text(yaml.safe_dump(config))
        self._host.start(
            "prometheus",
            [
                "/usr/bin/prometheus",
                f"--config.file={file}",
                f"--storage.tsdb.path={self._folder / 'data'}",
                "--web.listen-address=127.0.0.1:9090",
                "--log.level=warn",
            ],
        )
        self._lab.wait_for(lambda: self.ask("query", query="up"), timeout_s=60, what="Prometheus")

    def ask(self, path: str, **words: str) -> Any:
        """Ask the API, and give the data of the answer."""
        url = f"{HOME}/{path}" + (f"?{urlencode(words)}" if words else "")
        answer = self._host.http_get(url, timeout_s=20)
        if answer.body[:1] != b"{":
            raise LabError(f"{path}: {answer.text}")  # It is still starting.
        said = json.loads(answer.body)
        if said["status"] != "success":
            raise LabError(f"{words}: {said.get('error')}")
        return said["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Give what an expression is now: labels and values."""
        found: list[dict[str, Any]] = self.ask("query", query=expression)["result"]
        return found

    def value(self, expression: str) -> float | None:
        """Give the one value of an expression, if there is one."""
        found = self.query(expression)
        return float(found[0]["value"][1]) if len(found) == 1 else None

    def until(self, expression: str, wanted: float | None, timeout_s: float = 120.0) -> None:
        """Wait until an expression has a value, or none."""
        self._lab.wait_for(
            lambda: self.value(expression) == wanted,
            timeout_s=timeout_s,
            what=f"{expression} is {wanted}",
        )

    def await_targets(self, count: int, timeout_s: float = 120.0) -> None:
        """Wait until every target has answered, and there are so many; name those that do not."""
        silent: dict[tuple[str, str], str] = {}
        answered = set[tuple[str, str]]()

        def all_answered() -> bool:
            found = self.ask("targets", state="active")["activeTargets"]
            silent.clear()
            for target in found:
                key = target["scrapePool"], target["scrapeUrl"]
                if target["health"] == "up":
                    answered.add(key)
                elif key not in answered:
                    silent[key] = target["lastError"]
            return len(found) == count and not silent

        try:
            self._lab.wait_for(all_answered, timeout_s=timeout_s)
        except LabError:
            raise AssertionError(f"not {count} targets, or silent: {silent}") from None

    def kind(self, name: str) -> str:
        """Give the type of a family."""
        found: Mapping[str, list[dict[str, str]]] = self.ask("metadata", metric=name)
        kinds = {entry["type"] for entry in found.get(name, ())}
        return "/".join(sorted(kinds))

    def wrong_rows(self, rows: Sequence[Row]) -> list[str]:
        """Say which lines of a table are not as they should be."""
        return [wrong for row in rows if (wrong := self._wrong(row))]

    def await_rows(self, rows: Sequence[Row], timeout_s: float = 120.0) -> None:
        """Wait until every line of a table was right; name those that are not.

        One scrape in time may fail on a busy machine; then its lines are looked at again.
        """
        left = list(rows)

        def all_were_right() -> bool:
            left[:] = [row for row in left if self._wrong(row)]
            return not left

        try:
            self._lab.wait_for(all_were_right, timeout_s=timeout_s)
        except LabError:
            if wrong := self.wrong_rows(left):
                raise AssertionError("\n".join(wrong)) from None

    def _wrong(self, row: Row) -> str:
        where = {"job": row.job, **dict(row.labels)}
        if row.instance:
            where["instance"] = row.instance
        text = ",".join(f"{name}={json.dumps(value)}" for name, value in where.items())
        expression = f"{row.name}{{{text}}}"
        found = self.query(expression)
        if not found:
            return f"{expression}: no series"
        for series in found:
            labels = set(series["metric"]) - OWN_LABELS
            if labels != {name for name, _ in row.labels}:
                return f"{expression}: labels {sorted(labels)}"
            if not row.fits(float(series["value"][1])):
                return f"{expression}: {series['value'][1]}"
        if row.kind and self.kind(row.name) != row.kind:
            return f"{expression}: is a {self.kind(row.name)}"
        return ""


def expressions(board: Mapping[str, Any], span: str = "20s") -> list[tuple[str, str]]:
    """Give title and expression of every query of a dashboard, as Prometheus takes it."""
    return [
        (panel["title"], re.sub(r"\$__rate_interval|\$__range", span, target["expr"]))
        for panel in board["panels"]
        for target in panel.get("targets", ())
    ]


def make_token(lab: Lab, account: str, namespace: str) -> str:
    """Have the API server give a token of an account."""
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    token: str = lab.api.post(path, body)["status"]["token"]
    return token


def asked(host: Host, url: str, token: str) -> int:
    """Ask for metrics by hand, and give the status."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return host.http_get(url, headers=headers, timeout_s=10).status

"""What the operator of Prometheus makes of a ServiceMonitor: jobs, and the targets they have.

Targets are found by what the monitor selects, with nothing but the rights of Prometheus' account.
Only what our monitors say is understood, and any other field is an error, so that nothing in one
goes unlooked at. How often Prometheus asks is left to the lab.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from tests.lab.prometheus_lab import TOKEN

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lab.cluster import Lab

_SPEC: Final = {"jobLabel", "namespaceSelector", "selector", "endpoints"}
_ENDPOINT: Final = {
    *("port", "path", "scheme", "interval", "honorLabels", "bearerTokenFile", "tlsConfig"),
    "metricRelabelings",
}


def scrape_jobs(lab: Lab, monitor: Mapping[str, Any], account: str) -> Iterator[dict[str, Any]]:
    """Give a job for each endpoint of a monitor, with the targets that an account may find."""
    spec, own = monitor["spec"], monitor["metadata"]
    assert not set(spec) - _SPEC
    homes = spec.get("namespaceSelector", {}).get("matchNames", [own["namespace"]])
    for end in spec["endpoints"]:
        assert not set(end) - _ENDPOINT
        yield {
            "job_name": f"{own['namespace']}/{own['name']}/{end['port']}",
            "scheme": end["scheme"],
            "metrics_path": end.get("path", "/metrics"),
            "honor_labels": end.get("honorLabels", False),
            "authorization": {"credentials_file": TOKEN} if "bearerTokenFile" in end else {},
            "tls_config": _snake(end.get("tlsConfig", {})),
            "static_configs": [
                group for home in homes for group in _groups(lab, spec, end["port"], home, account)
            ],
            "metric_relabel_configs": [_snake(it) for it in end.get("metricRelabelings", ())],
        }


def _groups(
    lab: Lab, spec: Mapping[str, Any], port: str, home: str, account: str
) -> Iterator[dict[str, Any]]:
    """Find the targets behind the services that a monitor means, and what their job is called."""
    wanted = spec["selector"]["matchLabels"].items()
    of_account = ("-n", home, f"--as={account}", "get")
    ends = {
        item["metadata"]["name"]: item.get("subsets", ())
        for item in lab.kubectl_json(*of_account, "endpoints")["items"]
    }
    for service in lab.kubectl_json(*of_account, "services")["items"]:
        name, labels = service["metadata"]["name"], service["metadata"].get("labels", {})
        if not wanted <= labels.items():
            continue
        targets = [
            f"{address['ip']}:{each['port']}"
            for subset in ends[name]
            for each in subset["ports"]
            if each["name"] == port
            for address in subset["addresses"]
        ]
        yield {"targets": targets, "labels": {"job": labels.get(spec.get("jobLabel"), name)}}


def _snake(given: Mapping[str, Any]) -> dict[str, Any]:
    return {
        re.sub("[A-Z]", lambda it: f"_{it[0].lower()}", name): value
        for name, value in given.items()
    }

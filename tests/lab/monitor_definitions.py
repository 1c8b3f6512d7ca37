"""The one kind of Prometheus' operator that our manifests name, as far as they say something."""

from __future__ import annotations

from typing import Any, Final

GROUP: Final = "monitoring.coreos.com"
_TEXT: Final = {"type": "string"}
_TEXTS: Final = {"type": "array", "items": _TEXT}
_MAP: Final = {"type": "object", "additionalProperties": _TEXT}


def _struct(**fields: Any) -> dict[str, Any]:
    return {"type": "object", "properties": fields}


def _list(**fields: Any) -> dict[str, Any]:
    return {"type": "array", "items": _struct(**fields)}


_CHANGES: Final = _list(
    sourceLabels=_TEXTS, regex=_TEXT, targetLabel=_TEXT, replacement=_TEXT, action=_TEXT
)
_SPEC: Final = _struct(
    jobLabel=_TEXT,
    namespaceSelector=_struct(matchNames=_TEXTS),
    selector=_struct(matchLabels=_MAP),
    endpoints=_list(
        port=_TEXT,
        path=_TEXT,
        scheme={**_TEXT, "enum": ["http", "https"]},
        interval=_TEXT,
        honorLabels={"type": "boolean"},
        bearerTokenFile=_TEXT,
        tlsConfig=_struct(insecureSkipVerify={"type": "boolean"}),
        metricRelabelings=_CHANGES,
        relabelings=_CHANGES,
    ),
)
SERVICE_MONITOR: Final[dict[str, Any]] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": f"servicemonitors.{GROUP}"},
    "spec": {
        "group": GROUP,
        "scope": "Namespaced",
        "names": {
            "kind": "ServiceMonitor",
            "listKind": "ServiceMonitorList",
            "plural": "servicemonitors",
            "singular": "servicemonitor",
        },
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": _struct(spec=_SPEC)},
            }
        ],
    },
}

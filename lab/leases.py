"""Keep one node alive in the API server's eyes, as its kubelet would.

``python -m lab.leases NODE SERVER_ADDRESS PKI_DIR`` runs on the node, renews the node's lease every
two seconds over the node's own cable and sets the node Ready again after it was lost.  So a node
that is cut off becomes NotReady, by the real controller, and comes back.
"""

from __future__ import annotations

import datetime as dt
import sys
import time
from pathlib import Path
from typing import Final

from lab import objects
from lab.apiclient import ApiClient
from lab.errors import ApiError
from lab.pods import rfc3339

_PERIOD_S: Final = 2.0
_DURATION_S: Final = 8
_LEASES: Final = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"


def renew(api: ApiClient, node: str) -> None:
    """Renew the lease and, when the node was given up, report it Ready."""
    now = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    body = objects.lease(node, now, _DURATION_S)
    api.create(_LEASES, body)
    api.merge(f"{_LEASES}/{node}", {"spec": body["spec"]})
    conditions = api.get(f"/api/v1/nodes/{node}")["status"]["conditions"]
    if all(condition["status"] != "Unknown" for condition in conditions):
        return
    for condition in conditions:
        condition["status"] = "True" if condition["type"] == "Ready" else "False"
        condition["lastTransitionTime"] = condition["lastHeartbeatTime"] = rfc3339()
    api.merge(f"/api/v1/nodes/{node}/status", {"status": {"conditions": conditions}})


def main() -> None:
    """Renew until killed; an unreachable server is only a reason to try again."""
    node, address, pki = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    api = ApiClient(None, address, 6443, pki, node, timeout_s=2.0)
    while True:
        try:
            renew(api, node)
        except (OSError, ApiError) as failed:
            print(f"{rfc3339()} {failed}", flush=True)
        time.sleep(_PERIOD_S)


if __name__ == "__main__":
    main()

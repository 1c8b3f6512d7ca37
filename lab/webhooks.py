"""The webhooks of the pair under test in the light profile.

The chart's own objects are created, and Kubernetes' own controller finds the controller's pod for
their Service; the API server goes to that address as it would in any cluster.  A lab whose
controller serves none (``--webhook-mode=disabled``) has none of these objects.
"""

from __future__ import annotations

import copy
import time
from typing import TYPE_CHECKING, Any, Final

from lab.errors import ApiError, WaitTimeout

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lab.apiclient import ApiClient

DISABLED: Final = "disabled"
_FLAG: Final = "--webhook-mode="
TEMPLATE: Final = "webhooks"


def mode_of(controller_args: Sequence[str]) -> str:
    """Tell in which mode a controller with these arguments serves webhooks."""
    given = [word.removeprefix(_FLAG) for word in controller_args if word.startswith(_FLAG)]
    return given[-1] if given else "enabled"


def with_conversion(
    definition: Mapping[str, Any], *, mode: str, namespace: str
) -> Mapping[str, Any]:
    """Return a definition that asks our controller for conversion, or nobody at all."""
    conversion = definition["spec"].get("conversion", {})
    if "webhook" not in conversion:
        return definition
    changed = copy.deepcopy(dict(definition))
    if mode == DISABLED:
        changed["spec"]["conversion"] = {"strategy": "None"}
    else:
        changed["spec"]["conversion"]["webhook"]["clientConfig"]["service"]["namespace"] = namespace
    return changed


def await_answered(api: ApiClient, namespace: str, timeout_s: float = 60.0) -> None:
    """Wait until the API server asks the webhooks and trusts the answers, conversion included."""
    body = {
        "apiVersion": "metallb.io/v1beta1",
        "kind": "BGPPeer",
        "metadata": {"name": "lab-asks"},
        "spec": {"myASN": 64512, "peerASN": 64512, "peerAddress": "192.0.2.1"},
    }
    path = f"/apis/metallb.io/v1beta1/namespaces/{namespace}/bgppeers?dryRun=All"
    deadline = time.monotonic() + timeout_s
    refused = _refusal(api, path, body)
    while refused:
        if time.monotonic() > deadline:
            raise WaitTimeout(f"the webhooks do not answer: {refused}")
        time.sleep(0.1)
        refused = _refusal(api, path, body)


def _refusal(api: ApiClient, path: str, body: Mapping[str, Any]) -> str:
    """Try it; return why it was refused, or nothing."""
    try:
        api.post(path, body)
    except ApiError as refused:
        return str(refused)
    return ""

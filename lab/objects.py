"""The Kubernetes objects the lab registers by itself, as plain JSON values.

Pure: no clock, no I/O; times are given by the caller as RFC 3339 text.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lab.topology import NodePlan

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class PodPlan:
    """A pod that the lab runs itself instead of a kubelet."""

    name: str
    namespace: str
    node: str
    host_ip: str
    ips: tuple[str, ...]
    labels: Mapping[str, str] = field(default_factory=dict)
    ports: Sequence[Mapping[str, Any]] = ()
    host_network: bool = False
    service_account: str = "default"
    owner: Mapping[str, Any] | None = None


def node(plan: NodePlan, labels: Mapping[str, str] | None = None) -> Json:
    """Return the Node object of a node."""
    own = {
        "kubernetes.io/hostname": plan.name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": plan.name, "labels": {**own, **(labels or {})}},
        "spec": {"podCIDR": plan.pod_cidr4, "podCIDRs": [plan.pod_cidr4, plan.pod_cidr6]},
    }


def node_status(plan: NodePlan, now: str, version: str) -> Json:
    """Return a patch that makes a Node Ready, with addresses and room for pods."""
    room = {"cpu": "2", "memory": "8Gi", "pods": "110", "ephemeral-storage": "50Gi"}
    conditions = [
        _condition("Ready", "True", "LabReady", now),
        _condition("MemoryPressure", "False", "LabReady", now),
        _condition("DiskPressure", "False", "LabReady", now),
        _condition("PIDPressure", "False", "LabReady", now),
    ]
    addresses = [
        {"type": "InternalIP", "address": plan.ipv4},
        {"type": "InternalIP", "address": plan.ipv6},
        {"type": "Hostname", "address": plan.name},
    ]
    return {
        "status": {
            "capacity": room,
            "allocatable": room,
            "conditions": conditions,
            "addresses": addresses,
            "nodeInfo": {
                "kubeletVersion": f"v{version}",
                "containerRuntimeVersion": "lab://1",
                "osImage": "network namespace",
                "kernelVersion": "",
                "operatingSystem": "linux",
                "architecture": "amd64",
                "machineID": plan.name,
                "systemUUID": plan.name,
                "bootID": plan.name,
                "kubeProxyVersion": f"v{version}",
            },
        }
    }


def pod(plan: PodPlan) -> Json:
    """Return the Pod object; it is bound to its node from the start."""
    container = {"name": "main", "image": "localhost/lab:process", "ports": list(plan.ports)}
    metadata: Json = {
        "name": plan.name,
        "namespace": plan.namespace,
        "labels": dict(plan.labels),
    }
    if plan.owner is not None:
        metadata["ownerReferences"] = [dict(plan.owner)]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {
            "nodeName": plan.node,
            "hostNetwork": plan.host_network,
            "serviceAccountName": plan.service_account,
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 0,
            "tolerations": [{"operator": "Exists"}],
            "containers": [container],
        },
    }


def pod_status(plan: PodPlan, now: str, *, ready: bool = True) -> Json:
    """Return a patch that makes a Pod Running, and ready or not."""
    truth = "True" if ready else "False"
    running = {"running": {"startedAt": now}}
    return {
        "status": {
            "phase": "Running",
            "startTime": now,
            "hostIP": plan.host_ip,
            "hostIPs": [{"ip": plan.host_ip}],
            "podIP": plan.ips[0],
            "podIPs": [{"ip": ip} for ip in plan.ips],
            "conditions": [
                _condition("PodScheduled", "True", "", now),
                _condition("Initialized", "True", "", now),
                _condition("ContainersReady", truth, "", now),
                _condition("Ready", truth, "", now),
            ],
            "containerStatuses": [
                {
                    "name": "main",
                    "image": "localhost/lab:process",
                    "imageID": "",
                    "ready": ready,
                    "started": True,
                    "restartCount": 0,
                    "state": running,
                }
            ],
        }
    }


def lease(name: str, now_micro: str, duration_s: int) -> Json:
    """Return a node's lease as a kubelet would renew it."""
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, "namespace": "kube-node-lease"},
        "spec": {
            "holderIdentity": name,
            "leaseDurationSeconds": duration_s,
            "renewTime": now_micro,
        },
    }


def _condition(kind: str, status: str, reason: str, now: str) -> Json:
    return (
        {
            "type": kind,
            "status": status,
            "reason": reason,
            "message": "",
            "lastTransitionTime": now,
            "lastHeartbeatTime": now,
        }
        if kind.endswith("Pressure") or reason == "LabReady"
        else {
            "type": kind,
            "status": status,
            "reason": reason,
            "lastTransitionTime": now,
        }
    )

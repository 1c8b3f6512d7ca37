"""What a release consists of, by name, label, right and privilege."""

from __future__ import annotations

from typing import Any

import pytest

WEBHOOK_OBJECTS = {
    ("Secret", "metallb-webhook-cert"),
    ("Service", "metallb-webhook-service"),
    ("ValidatingWebhookConfiguration", "metallb-webhook-configuration"),
}
DEFAULT_OBJECTS = {
    ("ClusterRole", "metallb:controller"),
    ("ClusterRole", "metallb:speaker"),
    ("ClusterRoleBinding", "metallb:controller"),
    ("ClusterRoleBinding", "metallb:speaker"),
    ("ConfigMap", "metallb-excludel2"),
    ("DaemonSet", "metallb-speaker"),
    ("Deployment", "metallb-controller"),
    ("Role", "metallb-controller"),
    ("Role", "metallb-pod-lister"),
    ("RoleBinding", "metallb-controller"),
    ("RoleBinding", "metallb-pod-lister"),
    ("ServiceAccount", "metallb-controller"),
    ("ServiceAccount", "metallb-speaker"),
    *WEBHOOK_OBJECTS,
}
KINDS = {
    "bfdprofiles",
    "bgpadvertisements",
    "bgppeers",
    "communities",
    "configurationstates",
    "ipaddresspools",
    "l2advertisements",
    "servicebgpstatuses",
    "servicel2statuses",
}
OURS = {"configurationstates", "servicebgpstatuses", "servicel2statuses"}
"""The kinds that our programs write themselves."""
READ = ("get", "list", "watch")
FOLLOW = ("list", "watch")
TARGET = ("list", "patch", "watch")
REVIEWS = {
    ("authentication.k8s.io", "tokenreviews"): ("create",),
    ("authorization.k8s.io", "subjectaccessreviews"): ("create",),
}
STATE = ("create", "list", "patch", "watch")
RIGHTS: dict[tuple[str, str], dict[tuple[str, str], tuple[str, ...]]] = {
    ("ClusterRole", "metallb:controller"): {
        ("", "services"): FOLLOW,
        ("", "namespaces"): FOLLOW,
        ("", "nodes"): ("list",),
        ("", "services/status"): ("patch",),
        ("", "events"): ("create", "patch"),
        (
            "admissionregistration.k8s.io",
            "validatingwebhookconfigurations metallb-webhook-configuration",
        ): TARGET,
        ("apiextensions.k8s.io", "customresourcedefinitions bgppeers.metallb.io"): TARGET,
        **REVIEWS,
    },
    ("ClusterRole", "metallb:speaker"): {
        ("", "services"): FOLLOW,
        ("", "nodes"): FOLLOW,
        ("", "namespaces"): FOLLOW,
        ("discovery.k8s.io", "endpointslices"): FOLLOW,
        ("", "events"): ("create", "patch"),
        ("metallb.io", "configurationstates"): FOLLOW,
        ("metallb.io", "servicel2statuses"): FOLLOW,
        **REVIEWS,
    },
    ("Role", "metallb-controller"): {
        ("", "pods"): ("get",),
        ("", "secrets"): ("create",),
        ("", "secrets metallb-memberlist"): ("list", "patch"),
        ("", "secrets metallb-webhook-cert"): TARGET,
        ("apps", "deployments metallb-controller"): ("get",),
        ("coordination.k8s.io", "leases"): ("create",),
        ("coordination.k8s.io", "leases mercurylb-controller,mercurylb-webhook"): (
            "get",
            "list",
            "patch",
            "watch",
        ),
        ("metallb.io", "ipaddresspools"): FOLLOW,
        ("metallb.io", "communities"): FOLLOW,
        ("metallb.io", "ipaddresspools/status"): ("patch",),
        ("metallb.io", "configurationstates"): STATE,
        ("metallb.io", "configurationstates/status"): ("patch",),
        ("metallb.io", "bfdprofiles"): ("list",),
        ("metallb.io", "bgpadvertisements"): ("list",),
        ("metallb.io", "bgppeers"): ("list",),
    },
    ("Role", "metallb-pod-lister"): {
        ("", "pods"): READ,
        ("", "secrets"): FOLLOW,
        ("", "configmaps"): FOLLOW,
        ("metallb.io", "bfdprofiles"): FOLLOW,
        ("metallb.io", "bgpadvertisements"): FOLLOW,
        ("metallb.io", "bgppeers"): FOLLOW,
        ("metallb.io", "communities"): FOLLOW,
        ("metallb.io", "ipaddresspools"): FOLLOW,
        ("metallb.io", "l2advertisements"): FOLLOW,
        ("metallb.io", "servicel2statuses"): ("create", "delete", "patch"),
        ("metallb.io", "servicel2statuses/status"): ("patch",),
        ("metallb.io", "servicebgpstatuses"): ("create", "delete", "list", "patch", "watch"),
        ("metallb.io", "servicebgpstatuses/status"): ("patch",),
        ("mercurylb.io", "bgpsessions"): ("create", "delete", "list", "patch", "watch"),
        ("mercurylb.io", "bgpsessions/status"): ("patch",),
        ("metallb.io", "configurationstates"): ("create", "patch"),
        ("metallb.io", "configurationstates/status"): ("patch",),
    },
}
CONTROLLER = {"app.kubernetes.io/component": "controller"}
SPEAKER = {"app.kubernetes.io/component": "speaker"}
SELECTOR = {"app.kubernetes.io/name": "metallb", "app.kubernetes.io/instance": "metallb"}


def rights(role: dict[str, Any]) -> dict[tuple[str, str], tuple[str, ...]]:
    """Return the verbs a role grants, by group and by resource with the names it is bound to."""
    return {
        (group, " ".join([resource, *_names(rule)])): tuple(sorted(rule["verbs"]))
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }


def _names(rule: dict[str, Any]) -> list[str]:
    return [",".join(rule["resourceNames"])] if "resourceNames" in rule else []


@pytest.mark.rule("install-3.2.no-namespace", "install-3.2.objects")
def test_a_release_called_metallb_has_the_names_of_metallbs_chart(render: Any) -> None:
    """Tools written for MetalLB's chart find every object under the name they know."""
    assert set(render()) == DEFAULT_OBJECTS


@pytest.mark.rule("install-3.2.crds", "install-7.crds")
def test_the_definitions_are_part_of_the_release(render: Any) -> None:
    """An upgrade of the release upgrades the definitions too."""
    names = {name for kind, name in render(crds=True) if kind == "CustomResourceDefinition"}
    assert names == {*(f"{plural}.metallb.io" for plural in KINDS), "bgpsessions.mercurylb.io"}


@pytest.mark.parametrize(
    ("release", "values", "fullname", "name"),
    [
        ("metallb", {}, "metallb", "metallb"),
        ("foo", {}, "foo-metallb", "metallb"),
        ("my-metallb-2", {}, "my-metallb-2", "metallb"),
        ("foo", {"nameOverride": "lb"}, "foo-lb", "lb"),
        ("lb", {"nameOverride": "lb"}, "lb", "lb"),
        ("foo", {"fullnameOverride": "bar"}, "bar", "metallb"),
        ("foo", {"fullnameOverride": "b" * 70}, "b" * 63, "metallb"),
    ],
)
@pytest.mark.rule("install-3.1.fullname", "install-3.3.names")
def test_names_follow_the_release_and_the_overrides(
    render: Any, release: str, values: dict[str, Any], fullname: str, name: str
) -> None:
    """Every name starts with what release and overrides make of it."""
    objects = render(values, release=release)
    deployment = objects["Deployment", f"{fullname}-controller"]
    assert deployment["metadata"]["labels"]["app.kubernetes.io/name"] == name
    assert ("DaemonSet", f"{fullname}-speaker") in objects
    assert ("ClusterRole", f"{fullname}:speaker") in objects
    labels = f"app.kubernetes.io/name={name},app.kubernetes.io/component=speaker"
    env = objects.container("speaker", fullname)["env"]
    assert {"name": "METALLB_ML_LABELS", "value": labels} in env


@pytest.mark.rule("install-3.1.labels")
def test_every_object_carries_the_common_labels(render: Any) -> None:
    """A selector on name and instance finds everything that belongs to the release."""
    common = {
        "helm.sh/chart": "mercurylb-0.1.0",
        **SELECTOR,
        "app.kubernetes.io/version": "0.1.0",
        "app.kubernetes.io/managed-by": "Helm",
    }
    for key, item in render().items():
        component = {"ServiceAccount", "Deployment", "DaemonSet"} & {key[0]}
        extra = {} if not component else SPEAKER if key[1].endswith("speaker") else CONTROLLER
        assert item["metadata"]["labels"] == common | extra, key


@pytest.mark.parametrize(
    ("kind", "component"), [("Deployment", CONTROLLER), ("DaemonSet", SPEAKER)]
)
def test_selectors_are_those_of_metallbs_chart(
    render: Any, kind: str, component: dict[str, str]
) -> None:
    """A release of MetalLB's chart can be upgraded, as selectors cannot change."""
    name = f"metallb-{component['app.kubernetes.io/component']}"
    spec = render()[kind, name]["spec"]
    assert spec["selector"]["matchLabels"] == SELECTOR | component
    assert spec["template"]["metadata"]["labels"] == SELECTOR | component


def test_namespaced_objects_are_in_the_namespace_of_the_release(render: Any) -> None:
    """Nothing lands in the namespace that happens to be the current one."""
    for (kind, name), item in render().items():
        is_clusterwide = kind.startswith("ClusterRole") or "Webhook" in kind
        expected = None if is_clusterwide else "metallb"
        assert item["metadata"].get("namespace") == expected, name


@pytest.mark.parametrize("role", RIGHTS)
@pytest.mark.rule(
    "api-1.writers",
    "controller-10.services",
    "controller-10.nodes",
    "controller-10.services-status",
    "controller-10.events",
    "controller-10.webhook-configurations",
    "controller-10.crds",
    "controller-10.configurationstates",
    "controller-10.reviews",
    "controller-10.secrets",
    "controller-10.deployments",
    "controller-10.pools",
    "controller-10.crs",
    "controller-10.pods",
    "controller-10.leases",
)
@pytest.mark.rule("speaker-4.rights", "speaker-4.services")
@pytest.mark.rule("install-3.7.cluster", "install-3.7.namespace")
def test_each_role_grants_exactly_what_is_needed(render: Any, role: tuple[str, str]) -> None:
    """A right that appears or vanishes is a decision, not an accident."""
    assert rights(render()[role]) == {key: tuple(v) for key, v in RIGHTS[role].items()}


@pytest.mark.parametrize(
    ("binding", "account"),
    [
        (("ClusterRoleBinding", "metallb:controller"), "metallb-controller"),
        (("ClusterRoleBinding", "metallb:speaker"), "metallb-speaker"),
        (("RoleBinding", "metallb-controller"), "metallb-controller"),
        (("RoleBinding", "metallb-pod-lister"), "metallb-speaker"),
    ],
)
def test_each_role_is_bound_to_its_account(
    render: Any, binding: tuple[str, str], account: str
) -> None:
    """Every right reaches the one component it is meant for."""
    item = render()[binding]
    assert item["roleRef"] == {
        "apiGroup": "rbac.authorization.k8s.io",
        "kind": binding[0].removesuffix("Binding"),
        "name": binding[1],
    }
    assert item["subjects"] == [{"kind": "ServiceAccount", "name": account, "namespace": "metallb"}]


@pytest.mark.parametrize(
    ("values", "missing"),
    [
        ({"rbac": {"create": False}}, {k for k in DEFAULT_OBJECTS if "Role" in k[0]}),
        (
            {"speaker": {"enabled": False}},
            {k for k in DEFAULT_OBJECTS if k[1].endswith(("speaker", "pod-lister", "excludel2"))},
        ),
        (
            {"controller": {"enabled": False}},
            {("Deployment", "metallb-controller"), *WEBHOOK_OBJECTS},
        ),
        ({"controller": {"webhookMode": "disabled"}}, WEBHOOK_OBJECTS),
        ({"controller": {"webhookMode": "onlywebhook"}}, set()),
        (
            {"speaker": {"excludeInterfaces": {"enabled": False}}},
            {("ConfigMap", "metallb-excludel2")},
        ),
        (
            {"controller": {"serviceAccount": {"create": False}}},
            {("ServiceAccount", "metallb-controller")},
        ),
    ],
)
@pytest.mark.rule(
    "install-3.3.rbac",
    "install-3.3.component-enabled",
    "install-3.3.speaker-enabled",
    "install-3.3.exclude-interfaces",
)
def test_what_is_switched_off_is_not_installed(
    render: Any, values: dict[str, Any], missing: set[tuple[str, str]]
) -> None:
    """A switch removes its own objects and nothing else."""
    assert DEFAULT_OBJECTS - set(render(values)) == missing


def test_without_member_list_the_controller_has_no_secret_to_create(render: Any) -> None:
    """Rights on secrets go away together with their reason."""
    objects = render({"speaker": {"memberlist": {"enabled": False}}})
    granted = rights(objects["Role", "metallb-controller"])
    assert [key for key in granted if "secrets" in key[1]] == [("", "secrets metallb-webhook-cert")]
    assert not [key for key in granted if "deployments" in key[1]]


def test_without_webhooks_the_controller_may_not_touch_their_objects(render: Any) -> None:
    """Nor read what only admission looks at."""
    objects = render({"controller": {"webhookMode": "disabled"}})
    cluster = rights(objects["ClusterRole", "metallb:controller"])
    assert not [key for key in cluster if "webhook" in key[1] or "definition" in key[1]]
    assert ("", "nodes") not in cluster
    granted = rights(objects["Role", "metallb-controller"])
    assert ("metallb.io", "bgppeers") not in granted
    assert ("", "secrets metallb-webhook-cert") not in granted


@pytest.mark.rule("controller-10.no-write")
@pytest.mark.rule("install-3.7.less")
def test_nobody_may_write_what_belongs_to_the_user(render: Any) -> None:
    """Services but for their status, and the kinds of configuration, are read only."""
    objects = render()
    for role in RIGHTS:
        for (_, resource), verbs in rights(objects[role]).items():
            is_users = resource in {"services", *(KINDS - OURS)}
            assert not (is_users and set(verbs) - {"get", "list", "watch"}), (role, resource)
            assert "*" not in {*verbs, resource}


@pytest.mark.parametrize(
    ("account", "expected"),
    [
        ({"create": True, "name": ""}, "metallb-speaker"),
        ({"create": True, "name": "own"}, "own"),
        ({"create": False, "name": ""}, "default"),
        ({"create": False, "name": "own"}, "own"),
    ],
)
@pytest.mark.rule("install-3.3.service-accounts")
def test_the_account_is_created_named_or_given(
    render: Any, account: dict[str, Any], expected: str
) -> None:
    """Pod, binding and account agree on one name."""
    objects = render({"speaker": {"serviceAccount": account}})
    assert objects.pod("speaker")["serviceAccountName"] == expected
    assert objects["ClusterRoleBinding", "metallb:speaker"]["subjects"][0]["name"] == expected
    assert (("ServiceAccount", expected) in objects) == account["create"]

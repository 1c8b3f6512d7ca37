"""What a release consists of, by name, label, right and privilege."""

from __future__ import annotations

from typing import Any

import pytest

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
READ = ("get", "list", "watch")
WRITE = ("create", "delete", "get", "list", "patch", "update", "watch")
REVIEWS = {
    ("authentication.k8s.io", "tokenreviews"): ("create",),
    ("authorization.k8s.io", "subjectaccessreviews"): ("create",),
}
STATE = ("create", "get", "list", "patch", "update", "watch")
RIGHTS: dict[tuple[str, str], dict[tuple[str, str], tuple[str, ...]]] = {
    ("ClusterRole", "metallb:controller"): {
        ("", "services"): READ,
        ("", "namespaces"): READ,
        ("", "services/status"): ("patch", "update"),
        ("", "events"): ("create", "patch"),
        ("metallb.io", "configurationstates"): STATE,
        ("metallb.io", "configurationstates/status"): ("get", "patch", "update"),
        **REVIEWS,
    },
    ("ClusterRole", "metallb:speaker"): {
        ("", "services"): READ,
        ("", "nodes"): READ,
        ("", "namespaces"): READ,
        ("discovery.k8s.io", "endpointslices"): READ,
        ("", "events"): ("create", "patch"),
        ("metallb.io", "servicel2statuses"): WRITE,
        ("metallb.io", "servicel2statuses/status"): WRITE,
        ("metallb.io", "configurationstates"): STATE,
        ("metallb.io", "configurationstates/status"): STATE,
        **REVIEWS,
    },
    ("Role", "metallb-controller"): {
        ("", "pods"): ("get",),
        ("", "secrets"): ("create", "get", "list"),
        ("apps", "deployments"): ("get",),
        ("metallb.io", "ipaddresspools"): READ,
        ("metallb.io", "communities"): READ,
        ("metallb.io", "ipaddresspools/status"): ("patch", "update"),
    },
    ("Role", "metallb-pod-lister"): {
        ("", "pods"): READ,
        ("", "secrets"): READ,
        ("", "configmaps"): READ,
        ("metallb.io", "bfdprofiles"): READ,
        ("metallb.io", "bgpadvertisements"): READ,
        ("metallb.io", "bgppeers"): READ,
        ("metallb.io", "communities"): READ,
        ("metallb.io", "ipaddresspools"): READ,
        ("metallb.io", "l2advertisements"): READ,
        ("metallb.io", "servicebgpstatuses"): WRITE,
        ("metallb.io", "servicebgpstatuses/status"): WRITE,
    },
}
CONTROLLER = {"app.kubernetes.io/component": "controller"}
SPEAKER = {"app.kubernetes.io/component": "speaker"}
SELECTOR = {"app.kubernetes.io/name": "metallb", "app.kubernetes.io/instance": "metallb"}


def rights(role: dict[str, Any]) -> dict[tuple[str, str], tuple[str, ...]]:
    """Return the verbs a role grants, by group and resource."""
    return {
        (group, resource): tuple(sorted(rule["verbs"]))
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }


def test_a_release_called_metallb_has_the_names_of_metallbs_chart(render: Any) -> None:
    """Tools written for MetalLB's chart find every object under the name they know."""
    assert set(render()) == DEFAULT_OBJECTS


def test_the_definitions_are_part_of_the_release(render: Any) -> None:
    """An upgrade of the release upgrades the definitions too."""
    names = {name for kind, name in render(crds=True) if kind == "CustomResourceDefinition"}
    assert names == {f"{plural}.metallb.io" for plural in KINDS}


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
        expected = None if kind.startswith("ClusterRole") else "metallb"
        assert item["metadata"].get("namespace") == expected, name


@pytest.mark.parametrize("role", RIGHTS)
@pytest.mark.rule("api-1.writers")
def test_each_role_grants_exactly_what_is_needed(render: Any, role: tuple[str, str]) -> None:
    """A right that appears or vanishes is a decision, not an accident."""
    assert rights(render()[role]) == {key: tuple(v) for key, v in RIGHTS[role].items()}


def test_the_controller_may_read_its_own_deployment_only(render: Any) -> None:
    """The right on deployments is bound to one name."""
    rules = render()["Role", "metallb-controller"]["rules"]
    named = [rule["resourceNames"] for rule in rules if rule["resources"] == ["deployments"]]
    assert named == [["metallb-controller"]]


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
        ({"controller": {"enabled": False}}, {("Deployment", "metallb-controller")}),
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
def test_what_is_switched_off_is_not_installed(
    render: Any, values: dict[str, Any], missing: set[tuple[str, str]]
) -> None:
    """A switch removes its own objects and nothing else."""
    assert DEFAULT_OBJECTS - set(render(values)) == missing


def test_without_member_list_the_controller_has_no_secret_to_create(render: Any) -> None:
    """Rights on secrets go away together with their reason."""
    objects = render({"speaker": {"memberlist": {"enabled": False}}})
    granted = rights(objects["Role", "metallb-controller"])
    assert ("", "secrets") not in granted
    assert ("apps", "deployments") not in granted


@pytest.mark.parametrize(
    ("account", "expected"),
    [
        ({"create": True, "name": ""}, "metallb-speaker"),
        ({"create": True, "name": "own"}, "own"),
        ({"create": False, "name": ""}, "default"),
        ({"create": False, "name": "own"}, "own"),
    ],
)
def test_the_account_is_created_named_or_given(
    render: Any, account: dict[str, Any], expected: str
) -> None:
    """Pod, binding and account agree on one name."""
    objects = render({"speaker": {"serviceAccount": account}})
    assert objects.pod("speaker")["serviceAccountName"] == expected
    assert objects["ClusterRoleBinding", "metallb:speaker"]["subjects"][0]["name"] == expected
    assert (("ServiceAccount", expected) in objects) == account["create"]


def test_no_webhook_is_installed_that_nobody_answers(render: Any) -> None:
    """Creating a pool never waits for a webhook without a server."""
    assert not any("Webhook" in kind for kind, _ in render(crds=True))

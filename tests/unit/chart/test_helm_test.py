"""What `helm test` runs, with which rights, and that nothing of it stays."""

from __future__ import annotations

from typing import Any

import pytest

from mercurylb.cli.verify_evidence import DEFINITIONS, FRR_DEFINITION

FRR_DEFINITION_PARTS = FRR_DEFINITION.partition(".")[2], FRR_DEFINITION.partition(".")[0]
NAME = "metallb-test"
HOOKS = {
    ("ServiceAccount", NAME),
    ("ClusterRole", NAME),
    ("ClusterRoleBinding", NAME),
    ("Role", NAME),
    ("RoleBinding", NAME),
    ("Pod", NAME),
}


def test_everything_of_it_exists_for_the_test_only(render: Any) -> None:
    """Hooks are no part of the release, and Helm removes them when the test has passed."""
    objects = render(tests=True)
    assert set(objects) - set(render()) == HOOKS
    weights = {}
    for key in HOOKS:
        metadata = objects[key]["metadata"]
        assert metadata["annotations"]["helm.sh/hook"] == "test"
        policy = metadata["annotations"]["helm.sh/hook-delete-policy"]
        assert policy == "before-hook-creation,hook-succeeded"
        weights[key[0]] = int(metadata["annotations"]["helm.sh/hook-weight"])
        assert metadata["labels"]["app.kubernetes.io/component"] == "test"
    assert weights["ServiceAccount"] < weights["Pod"]
    assert weights["ClusterRole"] < weights["ClusterRoleBinding"] < weights["Pod"]
    assert weights["Role"] < weights["RoleBinding"] < weights["Pod"]


def test_it_verifies_the_installation_without_privileges(render: Any) -> None:
    """The command of our image, in the release's namespace, where the controller may run."""
    values = {
        "global": {"imageRegistry": "mirror.example"},
        "controller": {"tolerations": [{"operator": "Exists"}], "nodeSelector": {"a": "b"}},
    }
    pod = render(values, tests=True)["Pod", NAME]["spec"]
    (container,) = pod["containers"]
    assert container["image"] == "mirror.example/mercurylb/mercurylb:0.1.0"
    command = ["/usr/bin/mercurylb", "verify", "--namespace", "metallb", "--wait", "60"]
    assert container["command"] == command
    assert pod["restartPolicy"] == "Never"
    assert pod["serviceAccountName"] == NAME
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert pod["tolerations"] == [{"operator": "Exists"}]
    assert pod["nodeSelector"] == {"kubernetes.io/os": "linux", "a": "b"}


def test_it_is_not_taken_for_a_component(render: Any) -> None:
    """No selector of the release matches the pod of the test."""
    objects = render(tests=True)
    labels = objects["Pod", NAME]["metadata"]["labels"]
    selectors = [
        item["spec"]["selector"].get("matchLabels", item["spec"]["selector"])
        for (kind, _), item in objects.items()
        if kind in {"Deployment", "DaemonSet", "Service"}
    ]
    assert len(selectors) == 3
    assert not [s for s in selectors if s.items() <= labels.items()]


def test_it_changes_nothing_and_sees_no_secret_of_others(render: Any) -> None:
    """Reading, and one dry run of an object that the webhook refuses."""
    objects = render(tests=True)
    for kind in ("Role", "ClusterRole"):
        for rule in objects[kind, NAME]["rules"]:
            is_dry_run = rule["resources"] == ["ipaddresspools"]
            assert set(rule["verbs"]) <= ({"create"} if is_dry_run else {"get", "list"})
            if "secrets" in rule["resources"]:
                assert kind == "Role"
                assert rule["resourceNames"] == ["metallb-memberlist"]


@pytest.mark.parametrize(
    ("group", "kind"), [(each.group, each.plural) for each in DEFINITIONS] + [FRR_DEFINITION_PARTS]
)
def test_it_may_look_at_every_definition(render: Any, group: str, kind: str) -> None:
    """Also at that of frr-k8s: `verify` skips no definition for want of a right."""
    rules = render({"frrk8s": {"enabled": True}}, tests=True)["ClusterRole", NAME]["rules"]
    (rule,) = [it for it in rules if "customresourcedefinitions" in it["resources"]]
    assert (rule["apiGroups"], rule["verbs"]) == (["apiextensions.k8s.io"], ["get"])
    assert f"{kind}.{group}" in rule.get("resourceNames", [f"{kind}.{group}"])


@pytest.mark.parametrize("create", [True, False])
def test_without_roles_the_test_has_none_either(render: Any, *, create: bool) -> None:
    """Where roles are somebody else's business, the test's account is named like it."""
    objects = render({"rbac": {"create": create}}, tests=True)
    roles = {key for key in HOOKS if "Role" in key[0]}
    assert (roles & set(objects)) == (roles if create else set())
    assert ("Pod", NAME) in objects

"""A release in the shadow of another load balancer changes nothing."""

from __future__ import annotations

from typing import Any

REVIEWS = {"tokenreviews", "subjectaccessreviews"}
READING = {"get", "list", "watch"}


def test_both_programs_are_told(render: Any) -> None:
    """By one flag."""
    objects = render({"shadow": True})
    plain = render()
    for component in ("controller", "speaker"):
        assert "--shadow" in objects.container(component)["args"]
        assert "--shadow" not in plain.container(component)["args"]


def test_it_takes_nothing_that_the_other_has(render: Any) -> None:
    """Neither definitions nor webhooks, which have one name in the whole cluster."""
    objects = render({"shadow": True}, crds=True)
    kinds = {kind for kind, _ in objects}
    assert not kinds & {"CustomResourceDefinition", "ValidatingWebhookConfiguration", "Service"}


def test_it_may_only_read(render: Any) -> None:
    """No right to write, except to ask who scrapes the metrics."""
    objects = render({"shadow": True})
    roles = [item for (kind, _), item in objects.items() if kind in {"Role", "ClusterRole"}]
    assert len(roles) == 4
    for role in roles:
        assert role["rules"]
        for rule in role["rules"]:
            assert rule["verbs"]
            if not set(rule["resources"]) <= REVIEWS:
                assert set(rule["verbs"]) <= READING


def test_its_speakers_start_without_a_common_key(render: Any) -> None:
    """Its controller creates none."""
    (key,) = [v for v in render({"shadow": True}).pod("speaker")["volumes"] if "secret" in v]
    assert key["secret"]["optional"] is True

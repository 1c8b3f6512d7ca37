"""How a light lab decides about webhooks."""

from __future__ import annotations

from typing import Any

import pytest

from lab.webhooks import mode_of, with_conversion


@pytest.mark.parametrize(
    ("args", "mode"),
    [
        ((), "enabled"),
        (("--log-level=debug",), "enabled"),
        (("--webhook-mode=disabled",), "disabled"),
        (("--webhook-mode=disabled", "--webhook-mode=onlywebhook"), "onlywebhook"),
    ],
)
def test_the_mode_is_what_the_controller_is_told(args: tuple[str, ...], mode: str) -> None:
    """Its own default is enabled, and the last of several flags counts."""
    assert mode_of(args) == mode


def definition(**conversion: Any) -> dict[str, Any]:
    """Make a definition."""
    return {"kind": "CustomResourceDefinition", "spec": {"group": "g", "conversion": conversion}}


def test_a_definition_asks_the_labs_own_namespace_or_nobody() -> None:
    """The original is left alone."""
    service = {"name": "s", "namespace": "metallb-system"}
    given = definition(strategy="Webhook", webhook={"clientConfig": {"service": service}})
    asked = with_conversion(given, mode="enabled", namespace="here")
    webhook = asked["spec"]["conversion"]["webhook"]
    assert webhook["clientConfig"]["service"] == {"name": "s", "namespace": "here"}
    nobody = with_conversion(given, mode="disabled", namespace="here")
    assert nobody["spec"] == {"group": "g", "conversion": {"strategy": "None"}}
    assert service["namespace"] == "metallb-system"


def test_a_definition_without_webhook_stays_as_it_is() -> None:
    """Only one kind has two versions."""
    for given in (definition(strategy="None"), {"spec": {}}):
        assert with_conversion(given, mode="enabled", namespace="x") is given

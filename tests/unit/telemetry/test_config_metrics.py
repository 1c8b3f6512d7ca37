"""How a program tells its state of configuration in metrics (spec: config §10)."""

from __future__ import annotations

import pytest

from mercurylb.telemetry.daemon import ConfigMetrics
from mercurylb.telemetry.metrics import Registry


def values(registry: Registry) -> tuple[int, int]:
    """Give the loaded and the stale gauge."""
    lines = dict(line.rsplit(" ", 1) for line in registry.render().decode().splitlines())
    prefix = "metallb_k8s_client_config"
    return int(lines[f"{prefix}_loaded_bool"]), int(lines[f"{prefix}_stale_bool"])


@pytest.mark.rule("config-10.applied", "config-10.rejected")
def test_loaded_stays_and_stale_comes_and_goes() -> None:
    """Loaded means once; stale means that the newest configuration is not the one in force."""
    registry = Registry()
    metrics = ConfigMetrics(registry)
    assert values(registry) == (0, 0)
    for is_accepted, expected in ((False, (0, 1)), (True, (1, 0)), (False, (1, 1)), (True, (1, 0))):
        metrics.note_config(is_accepted=is_accepted)
        assert values(registry) == expected


def test_problems_are_those_of_the_newest_configuration() -> None:
    """A refusal has one at least, and a good configuration none."""
    registry = Registry()
    metrics = ConfigMetrics(registry)
    for is_accepted, problems, shown in ((False, 3, 3), (False, 0, 1), (True, 0, 0)):
        metrics.note_config(is_accepted=is_accepted, problems=problems)
        assert f"mercurylb_config_problems {shown}\n" in registry.render().decode()

"""What every test shares: the Hypothesis profiles.

`gate` is for every run: derandomised, so that a change of ours, not chance, turns it red. `hunt` is
deep and random: `HYPOTHESIS_PROFILE=hunt pytest tests/property`; what it finds becomes an example.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "gate",
    derandomize=True,
    deadline=None,
    max_examples=100,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "hunt",
    deadline=None,
    max_examples=20_000,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "gate"))

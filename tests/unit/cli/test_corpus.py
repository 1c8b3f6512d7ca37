"""`explain` names the true cause in every broken cluster of tests/corpus."""

from __future__ import annotations

import pytest

from mercurylb.plan.cause import HEALTHY, CauseCode
from mercurylb.plan.explanation import explain_service
from tests.unit.cli.clusters import NAMES, expected, snapshot


@pytest.mark.parametrize("name", NAMES)
def test_the_true_cause_is_named(name: str) -> None:
    """The cause has the right code, names what it is about, and nothing that misleads."""
    wanted = expected(name)
    explanation = explain_service(snapshot(name), wanted.service)
    assert explanation is not None
    cause = explanation.cause
    assert cause.code.value == wanted.cause, cause.sentence
    assert not [word for word in wanted.words if word not in cause.sentence], cause.sentence
    assert not [word for word in wanted.never if word in cause.sentence], cause.sentence
    assert cause.advice or cause.code in HEALTHY


def test_every_cause_has_a_cluster() -> None:
    """No cause is without an example that shows it."""
    assert {expected(name).cause for name in NAMES} == {code.value for code in CauseCode}

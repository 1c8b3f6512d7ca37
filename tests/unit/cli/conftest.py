"""How tests run the command: in this process, with its exit code and both outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from mercurylb.cli.__main__ import command

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run `mercurylb` with arguments; nothing of the machine's own settings reaches it."""
    for name in ("KUBECONFIG", "METALLB_NAMESPACE", "METALLB_BGP_TYPE", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/nonexistent")

    def run(*arguments: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(command(), list(arguments), input=stdin)

    return run

"""The command as a whole: quick help, completion, colours, and a word for whoever waits."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from mercurylb.cli import options

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result

    Run = Callable[..., Result]

COMMANDS = (
    [],
    ["explain"],
    ["explain", "service"],
    ["who"],
    ["bgp"],
    ["bgp", "peers"],
    ["bgp", "routes"],
    ["bgp", "session"],
    ["validate"],
    ["plan"],
    ["snapshot"],
    ["migrate"],
    ["migrate", "configmap"],
    ["migrate", "check"],
)
SLOW = {"aiohttp", "yaml", "rich", "asyncio", "ssl", "mercurylb.plan", "mercurylb.config"}


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_tells_the_exit_codes(run: Run, words: list[str]) -> None:
    """Each help page says what 0, 1 and 2 mean."""
    result = run(*words, "--help")
    assert result.exit_code == 0
    assert "Exit codes: 0 fine, 1 " in result.output


def test_help_imports_nothing_slow() -> None:
    """Help comes at once: neither HTTP nor YAML nor any decision is loaded for it."""
    code = (
        "import sys; from mercurylb.cli.__main__ import command;"
        "command().main(['validate', '--help'], standalone_mode=False);"
        f"print(sorted({SLOW!r} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_can_complete(shell: str) -> None:
    """The script for each shell comes, and completing gives commands, options and choices."""
    program = [sys.executable, "-m", "mercurylb.cli"]
    code = "from mercurylb.cli.__main__ import main; main()"
    program = [sys.executable, "-c", code]
    environment = {**os.environ, "_MERCURYLB_COMPLETE": f"{shell}_source"}
    if shell != "bash":  # Its script asks the installed bash for its version.
        script = subprocess.run(
            program, env=environment, capture_output=True, text=True, check=True
        )
        assert "_MERCURYLB_COMPLETE" in script.stdout
    for words, wanted in (
        ("mercurylb ", "explain"),
        ("mercurylb validate -o ", "sarif"),
        ("mercurylb snapshot --name", "--namespace"),
    ):
        count = len(words.split()) if words.endswith(" ") else len(words.split()) - 1
        environment = {
            **os.environ,
            "_MERCURYLB_COMPLETE": f"{shell}_complete",
            "COMP_WORDS": words,
            "COMP_CWORD": words.rpartition(" ")[2] if shell == "fish" else str(count),
        }
        done = subprocess.run(program, env=environment, capture_output=True, text=True, check=True)
        assert wanted in done.stdout


@pytest.mark.parametrize(
    ("is_terminal", "no_color", "is_coloured"),
    [(True, "", True), (True, "1", False), (False, "", False)],
)
def test_colours_are_for_people(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    is_terminal: bool,  # noqa: FBT001 (a table of facts)
    no_color: str,
    is_coloured: bool,  # noqa: FBT001
) -> None:
    """Escape codes go to terminals only, and not where NO_COLOR is set."""
    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: is_terminal)
    monkeypatch.setattr("click.utils.should_strip_ansi", lambda *_arguments: False)
    options.say("broken", "error")
    assert ("\x1b[" in capsys.readouterr().out) is is_coloured


def test_whoever_waits_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is said about quick work; slow work is named on standard error."""
    with options.telling("reading"):
        pass
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(options, "PATIENCE_S", 0.0)
    deadline = time.monotonic() + 10
    with options.telling("reading"):
        said = ""
        while not said and time.monotonic() < deadline:
            said = capsys.readouterr().err
    assert said == "reading …\n"


def test_without_the_extra_it_says_what_to_install() -> None:
    """A machine without click gets one line, not a traceback."""
    code = (
        "import sys; sys.modules['click'] = None; from mercurylb.cli.__main__ import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert (
        done.stderr
        == "mercurylb: the operator's command needs an extra: pip install 'mercurylb[cli]'\n"
    )

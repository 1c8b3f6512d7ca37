"""The lab's command line."""

from __future__ import annotations

import argparse

import pytest

from lab import cli


def _commands() -> list[str]:
    actions = cli.parser()._actions
    (sub,) = (a for a in actions if isinstance(a, argparse._SubParsersAction))
    return list(sub.choices)


@pytest.mark.parametrize("command", _commands())
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`--help` works everywhere and ends well."""
    with pytest.raises(SystemExit) as ended:
        cli.parser().parse_args([command, "--help"])
    assert ended.value.code == 0
    assert "usage:" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["--name", "x", "down"], ["down", "--name", "x"]])
def test_the_name_goes_before_or_after_the_command(words: list[str]) -> None:
    """Both orders name the lab."""
    assert cli.parser().parse_args(words).name == "x"


def test_the_name_has_a_default() -> None:
    """Without a name the lab is called `lab`."""
    assert cli.parser().parse_args(["down"]).name == "lab"


def test_options_of_a_hosts_command_stay_its_own() -> None:
    """What follows `--` belongs to the command on the host."""
    given = cli.parser().parse_args(["exec", "n1", "--", "ip", "-br", "--name", "addr"])
    assert [word for word in given.words if word != "--"] == ["ip", "-br", "--name", "addr"]
    assert given.name == "lab"


@pytest.mark.parametrize("words", [[], ["nix"], ["drop", "n1"], ["probe", "icmp", "x"]])
def test_what_is_no_command_is_refused(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A typing error ends with status 2 and the usage."""
    with pytest.raises(SystemExit) as ended:
        cli.parser().parse_args(words)
    assert ended.value.code == 2
    assert "usage:" in capsys.readouterr().err

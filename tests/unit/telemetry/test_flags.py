"""The command line behaves like the original's."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from mercurylb.telemetry.flags import (
    Flag,
    FlagError,
    is_port,
    is_seconds,
    one_of,
    parse,
    parse_into,
    usage,
)

FLAGS = (
    Flag("port", 9120, "metrics port", check=is_port),
    Flag("namespace", "", "where we live", env="METALLB_NAMESPACE"),
    Flag("ignore-exclude-lb", False, "ignore the label"),
    Flag("interval", 0, "100 % seconds", env="INTERVAL", check=is_seconds),
    Flag("mode", "enabled", "how", check=one_of("enabled", "disabled")),
)


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ("", {}),
        ("--port=1", {"port": 1}),
        ("-port=1", {"port": 1}),
        ("--port 1", {"port": 1}),
        ("-port 1", {"port": 1}),
        ("--port 1 --port 2", {"port": 2}),
        ("--port 0x10", {"port": 16}),
        ("--namespace=", {"namespace": ""}),
        ("--namespace=a=b", {"namespace": "a=b"}),
        ("--namespace --port", {"namespace": "--port"}),
        ("--ignore-exclude-lb", {"ignore_exclude_lb": True}),
        ("-ignore-exclude-lb --port 1", {"ignore_exclude_lb": True, "port": 1}),
        ("--ignore-exclude-lb=true", {"ignore_exclude_lb": True}),
        ("--ignore-exclude-lb --ignore-exclude-lb=f", {"ignore_exclude_lb": False}),
        ("--port=0", {"port": 0}),
        ("--port=65535", {"port": 65535}),
        ("--interval=2147483647", {"interval": 2147483647}),
        ("--mode disabled", {"mode": "disabled"}),
    ],
)
def test_accepted(argv: str, expected: dict[str, Any]) -> None:
    """Every way of writing a flag that Go takes."""
    defaults = {
        "port": 9120,
        "namespace": "",
        "ignore_exclude_lb": False,
        "interval": 0,
        "mode": "enabled",
    }
    assert parse(FLAGS, argv.split(), {}) == {**defaults, **expected}


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("--prot=1", "flag provided but not defined: --prot"),
        ("--por=1", "flag provided but not defined: --por"),
        ("---port=1", "flag provided but not defined"),
        ("--port", "flag needs an argument: --port"),
        ("--port=x", "invalid value 'x' for --port: not a whole number"),
        ("--port=-1", "must be between 0 and 65535"),
        ("--port=65536", "must be between 0 and 65535"),
        ("--interval=2147483648", "must be between 0 and 2147483647"),
        ("--ignore-exclude-lb=yes", "invalid boolean value 'yes'"),
        ("--ignore-exclude-lb false", "unexpected argument 'false'"),
        ("extra", "unexpected argument 'extra'"),
        ("--", "unexpected argument"),
        ("--mode=sometimes", "must be one of enabled, disabled"),
    ],
)
def test_refused(argv: str, message: str) -> None:
    """A mistake is named, with the flag."""
    with pytest.raises(FlagError, match=message):
        parse(FLAGS, argv.split(), {})


def test_flag_beats_environment_beats_default() -> None:
    """The environment gives defaults only, and an empty variable is none."""
    environ = {"METALLB_NAMESPACE": "env", "INTERVAL": ""}
    assert parse(FLAGS, [], environ)["namespace"] == "env"
    assert parse(FLAGS, [], environ)["interval"] == 0
    assert parse(FLAGS, ["--namespace=flag"], environ)["namespace"] == "flag"
    with pytest.raises(FlagError, match="INTERVAL"):
        parse(FLAGS, [], {"INTERVAL": "soon"})


class Settings(msgspec.Struct, frozen=True):
    port: int
    namespace: str
    ignore_exclude_lb: bool
    interval: int
    mode: str


def start(*argv: str) -> Settings:
    """Parse a command line into settings."""
    return parse_into(Settings, FLAGS, argv, {}, description="A program.", prog="mercurylb-x")


def test_settings() -> None:
    """The values arrive as the program's own frozen struct."""
    assert start("--port=1") == Settings(1, "", False, 0, "enabled")


def test_mistakes_end_with_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    """A mistake is told on standard error, with what to do next."""
    with pytest.raises(SystemExit) as caught:
        start("--nope")
    assert caught.value.code == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "not defined: --nope" in told.err
    assert "--help" in told.err


@pytest.mark.parametrize("word", ["-h", "--help", "-help"])
def test_help(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Help ends with 0 and shows each flag, its default and its variable."""
    with pytest.raises(SystemExit) as caught:
        start(word)
    assert caught.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert shown == " ".join(usage(FLAGS, description="A program.", prog="mercurylb-x").split())
    assert "--port N metrics port (default 9120)" in shown
    assert "[env METALLB_NAMESPACE]" in shown
    assert "100 % seconds" in shown

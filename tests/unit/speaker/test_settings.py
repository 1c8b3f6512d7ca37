"""The speaker's command line is the original's (spec: speaker §1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mercurylb.speaker.settings import parse_settings

if TYPE_CHECKING:
    from mercurylb.speaker.settings import SpeakerSettings


def parsed(*argv: str, **environ: str) -> SpeakerSettings:
    """Parse a command line."""
    return parse_settings(argv, environ)


CASES = [
    ("namespace", "", "x", "x"),
    pytest.param("node-name", "", "n1", "n1", marks=pytest.mark.rule("speaker-1.node-name")),
    ("pod-name", "", "speaker-x", "speaker-x"),
    pytest.param("port", 9120, "0", 0, marks=pytest.mark.rule("speaker-1.port")),
    pytest.param(
        "health-probe-port", 17472, "1", 1, marks=pytest.mark.rule("speaker-1.health-probe-port")
    ),
    ("log-level", "info", "none", "none"),
    pytest.param("lb-class", "", "x", "x", marks=pytest.mark.rule("speaker-1.lb-class")),
    pytest.param(
        "ignore-exclude-lb", False, "true", True, marks=pytest.mark.rule("speaker-1.exclude-lb")
    ),
    ("ml-bindaddr", "", "192.0.2.1", "192.0.2.1"),
    ("ml-bindport", "", "7000", "7000"),
    ("ml-labels", "", "app=x", "app=x"),
    ("ml-secret-key-path", "", "/key", "/key"),
    pytest.param("ml-wan-config", False, "true", True, marks=pytest.mark.rule("speaker-1.wan")),
    ("gratuitous-arp-interval", 0, "2147483647", 2147483647),
    ("bgp-listen-port", 0, "1790", 1790),
    ("bgp-debounce-timeout", "", "5", "5"),
    ("frrk8s-namespace", "", "x", "x"),
    ("frrk8s-secret-passthrough", False, "true", True),
    ("tls-min-version", "", "VersionTLS12", "VersionTLS12"),
    ("tls-cipher-suites", "", "X", "X"),
    ("tls-curve-preferences", "", "29", "29"),
    ("metrics-cert-dir", "", "/m", "/m"),
]


@pytest.mark.rule("speaker-1.syntax")
@pytest.mark.parametrize(("flag", "default", "text", "value"), CASES)
def test_a_flag(flag: str, default: object, text: str, value: object) -> None:
    """It has the original's default, and is taken with one dash or two."""
    field = flag.replace("-", "_")
    assert getattr(parsed(), field) == default
    assert getattr(parsed(f"--{flag}={text}"), field) == value
    assert getattr(parsed(f"-{flag}={text}"), field) == value
    if isinstance(default, bool):
        assert getattr(parsed(f"--{flag}"), field) is True
    else:
        assert getattr(parsed(f"--{flag}", text), field) == value


@pytest.mark.rule("speaker-1.environment", "membership-1.1.sources")
@pytest.mark.parametrize(
    ("variable", "field"),
    [
        ("METALLB_NAMESPACE", "namespace"),
        ("METALLB_NODE_NAME", "node_name"),
        ("METALLB_POD_NAME", "pod_name"),
        ("METALLB_ML_BIND_ADDR", "ml_bindaddr"),
        ("METALLB_ML_BIND_PORT", "ml_bindport"),
        ("METALLB_ML_LABELS", "ml_labels"),
        ("METALLB_ML_SECRET_KEY_PATH", "ml_secret_key_path"),
        ("FRRK8S_NAMESPACE", "frrk8s_namespace"),
    ],
)
def test_an_environment_variable_gives_the_default(variable: str, field: str) -> None:
    """The flag wins over the variable."""
    assert getattr(parsed(**{variable: "env"}), field) == "env"
    flag = f"--{field.replace('_', '-')}=flag"
    assert getattr(parsed(flag, **{variable: "env"}), field) == "flag"


@pytest.mark.rule("speaker-1.host")
def test_what_is_deprecated_is_taken() -> None:
    """The host's address changes nothing."""
    assert parsed("--host=192.0.2.1") == parsed(METALLB_HOST="192.0.2.2") == parsed()


DEBOUNCE = pytest.mark.rule("speaker-1.debounce", "bgp-1.debounce")
GRATUITOUS = pytest.mark.rule("speaker-1.gratuitous")
LEVEL = pytest.mark.rule("speaker-1.log-level")


@pytest.mark.parametrize(
    ("word", "told"),
    [
        pytest.param("--log-level=loud", "failed to initialize logging: ", marks=LEVEL),
        pytest.param("--bgp-debounce-timeout=0", "bgp-debounce-timeout", marks=DEBOUNCE),
        pytest.param("--bgp-debounce-timeout=-1", "bgp-debounce-timeout", marks=DEBOUNCE),
        pytest.param("--bgp-debounce-timeout=1s", "bgp-debounce-timeout", marks=DEBOUNCE),
        pytest.param("--bgp-debounce-timeout=1.5", "bgp-debounce-timeout", marks=DEBOUNCE),
        pytest.param("--bgp-debounce-timeout=²", "bgp-debounce-timeout", marks=DEBOUNCE),
        pytest.param("--gratuitous-arp-interval=-1", "gratuitous", marks=GRATUITOUS),
        pytest.param("--gratuitous-arp-interval=2147483648", "gratuitous", marks=GRATUITOUS),
    ],
)
def test_what_the_original_looks_at_itself_ends_with_one(
    word: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is told on standard output, and nothing is started."""
    with pytest.raises(SystemExit) as ended:
        parsed(word)
    assert ended.value.code == 1
    assert told in capsys.readouterr().out


@pytest.mark.rule("speaker-1.debounce")
@pytest.mark.parametrize("text", ["", "1", "+5", "3000"])
def test_milliseconds_are_a_positive_number_or_none(text: str) -> None:
    """Nothing at all is the default."""
    parsed(f"--bgp-debounce-timeout={text}")
    parsed(METALLB_BGP_DEBOUNCE_TIMEOUT=text)


@pytest.mark.rule("speaker-1.syntax")
@pytest.mark.parametrize(
    "argv",
    [["--no-such-flag"], ["word"], ["--port=http"], ["--port"], ["--gratuitous-arp-interval=x"]],
)
def test_a_mistake_ends_with_two(argv: list[str]) -> None:
    """A misspelt flag does not run with a default."""
    with pytest.raises(SystemExit) as ended:
        parsed(*argv)
    assert ended.value.code == 2


@pytest.mark.rule("membership-1.2.disabled")
@pytest.mark.parametrize(
    ("address", "labels", "expected"),
    [("192.0.2.1", "a=b", True), ("", "a=b", False), ("192.0.2.1", "", False), ("", "", False)],
)
def test_membership_needs_an_address_and_labels(
    address: str,
    labels: str,
    expected: bool,  # noqa: FBT001 (a table's column)
) -> None:
    """Without either it is off."""
    settings = parsed(f"--ml-bindaddr={address}", f"--ml-labels={labels}")
    assert settings.has_membership is expected

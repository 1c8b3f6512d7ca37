"""The controller's command line, flag by flag (spec: controller §3)."""

from __future__ import annotations

import pytest

from mercurylb.controller.settings import ControllerSettings, parse_settings


def parsed(*argv: str, **environ: str) -> ControllerSettings:
    """Parse a command line."""
    return parse_settings(argv, environ)


CASES = [
    pytest.param("port", 9120, "0", 0, marks=pytest.mark.rule("controller-3.port")),
    pytest.param("namespace", "", "lb", "lb", marks=pytest.mark.rule("controller-3.namespace")),
    pytest.param("pod-name", "", "p", "p", marks=pytest.mark.rule("controller-3.pod-name")),
    pytest.param(
        "ml-secret-name", "", "s", "s", marks=pytest.mark.rule("controller-3.ml-secret-name")
    ),
    pytest.param("deployment", "", "d", "d", marks=pytest.mark.rule("controller-3.deployment")),
    pytest.param(
        "log-level", "info", "debug", "debug", marks=pytest.mark.rule("controller-3.log-level")
    ),
    pytest.param(
        "pprof-bind-address",
        "",
        "127.0.0.1:6060",
        "127.0.0.1:6060",
        marks=pytest.mark.rule("controller-3.pprof-bind-address"),
    ),
    pytest.param(
        "health-probe-port",
        17472,
        "8081",
        8081,
        marks=pytest.mark.rule("controller-3.health-probe-port"),
    ),
    pytest.param(
        "disable-cert-rotation",
        False,
        "true",
        True,
        marks=pytest.mark.rule("controller-3.disable-cert-rotation"),
    ),
    pytest.param(
        "cert-dir",
        "/tmp/k8s-webhook-server/serving-certs",
        "/certs",
        "/certs",
        marks=pytest.mark.rule("controller-3.cert-dir"),
    ),
    pytest.param(
        "cert-service-name",
        "metallb-webhook-service",
        "w",
        "w",
        marks=pytest.mark.rule("controller-3.cert-service-name"),
    ),
    pytest.param("lb-class", "", "x", "x", marks=pytest.mark.rule("controller-3.lb-class")),
    pytest.param(
        "webhook-mode",
        "enabled",
        "onlywebhook",
        "onlywebhook",
        marks=pytest.mark.rule("controller-3.webhook-mode"),
    ),
    pytest.param(
        "webhook-secret",
        "metallb-webhook-cert",
        "s",
        "s",
        marks=pytest.mark.rule("controller-3.webhook-secret"),
    ),
    pytest.param(
        "webhook-http2", False, "true", True, marks=pytest.mark.rule("controller-3.webhook-http2")
    ),
    pytest.param(
        "tls-min-version",
        "",
        "VersionTLS12",
        "VersionTLS12",
        marks=pytest.mark.rule("controller-3.tls-min-version"),
    ),
    pytest.param(
        "tls-cipher-suites",
        "",
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        marks=pytest.mark.rule("controller-3.tls-cipher-suites"),
    ),
    pytest.param(
        "tls-curve-preferences",
        "",
        "29,23",
        "29,23",
        marks=pytest.mark.rule("controller-3.tls-curve-preferences"),
    ),
    pytest.param(
        "metrics-cert-dir", "", "/m", "/m", marks=pytest.mark.rule("controller-3.metrics-cert-dir")
    ),
    pytest.param(
        "leader-elect", True, "false", False, marks=pytest.mark.rule("controller-3.leader-elect")
    ),
]


@pytest.mark.rule("controller-3.dashes")
@pytest.mark.parametrize(("flag", "default", "text", "value"), CASES)
def test_a_flag(flag: str, default: object, text: str, value: object) -> None:
    """It has the original's default, and is taken with one dash or two."""
    field = flag.replace("-", "_")
    assert getattr(parsed(), field) == default
    assert getattr(parsed(f"--{flag}={text}"), field) == value
    assert getattr(parsed(f"-{flag}={text}"), field) == value
    if not isinstance(default, bool):
        assert getattr(parsed(f"--{flag}", text), field) == value


@pytest.mark.parametrize(
    ("variable", "field"),
    [
        ("METALLB_NAMESPACE", "namespace"),
        ("METALLB_ML_SECRET_NAME", "ml_secret_name"),
        ("METALLB_DEPLOYMENT", "deployment"),
        ("METALLB_POD_NAME", "pod_name"),
    ],
)
def test_an_environment_variable_gives_the_default(variable: str, field: str) -> None:
    """The flag wins over the variable."""
    assert getattr(parsed(**{variable: "env"}), field) == "env"
    flag = f"--{field.replace('_', '-')}=flag"
    assert getattr(parsed(flag, **{variable: "env"}), field) == "flag"


@pytest.mark.parametrize(
    ("argv", "code", "told"),
    [
        pytest.param(
            ["--log-level=loud"],
            1,
            "failed to initialize logging: ",
            marks=pytest.mark.rule("controller-2.log-level"),
        ),
        pytest.param(
            ["--webhook-mode=sometimes"],
            1,
            "webhook-mode",
            marks=pytest.mark.rule("controller-2.webhook-mode"),
        ),
    ],
)
def test_what_the_original_looks_at_later_ends_with_one(
    argv: list[str], code: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is told on standard output, as the first thing."""
    with pytest.raises(SystemExit) as ended:
        parsed(*argv)
    assert ended.value.code == code
    assert told in capsys.readouterr().out


@pytest.mark.rule("controller-3.unknown")
@pytest.mark.parametrize("argv", [["--no-such-flag"], ["word"], ["--port=http"], ["--port"]])
def test_a_mistake_ends_with_two(argv: list[str]) -> None:
    """A misspelt flag does not run with a default."""
    with pytest.raises(SystemExit) as ended:
        parsed(*argv)
    assert ended.value.code == 2


@pytest.mark.parametrize(
    ("mode", "allocates", "serves_webhooks"),
    [("enabled", True, True), ("disabled", True, False), ("onlywebhook", False, True)],
)
def test_what_a_mode_does(mode: str, *, allocates: bool, serves_webhooks: bool) -> None:
    """Who only serves webhooks leaves services alone."""
    settings = parsed(f"--webhook-mode={mode}")
    assert settings.allocates is allocates
    assert settings.serves_webhooks is serves_webhooks

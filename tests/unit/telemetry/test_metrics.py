"""The text that Prometheus reads."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from mercurylb.telemetry.metrics import Registry, add_process_metrics


def test_the_text_format() -> None:
    """Names are kept to the letter, labels are escaped, families and series sorted."""
    registry = Registry()
    total = registry.gauge("metallb_allocator_addresses_total", "Usable\naddresses.", ("pool",))
    requests = registry.counter("metallb_layer2_requests_received", "Requests.", ("ip",))
    registry.gauge("metallb_k8s_client_config_stale_bool", "Stale.")
    total.set(2**70, "b")
    total.set(1.5, 'a"\\\n')
    requests.add(2, "10.0.0.1")
    requests.add(3, "10.0.0.1")
    assert registry.render().decode() == (
        "# HELP metallb_allocator_addresses_total Usable\\naddresses.\n"
        "# TYPE metallb_allocator_addresses_total gauge\n"
        'metallb_allocator_addresses_total{pool="a\\"\\\\\\n"} 1.5\n'
        f'metallb_allocator_addresses_total{{pool="b"}} {2**70}\n'
        "# HELP metallb_k8s_client_config_stale_bool Stale.\n"
        "# TYPE metallb_k8s_client_config_stale_bool gauge\n"
        "metallb_k8s_client_config_stale_bool 0\n"
        "# HELP metallb_layer2_requests_received Requests.\n"
        "# TYPE metallb_layer2_requests_received counter\n"
        'metallb_layer2_requests_received{ip="10.0.0.1"} 5\n'
    )


def test_prometheus_reads_it_back() -> None:
    """The reference parser finds the same labels and values."""
    registry = Registry()
    family = registry.gauge("metallb_speaker_announced", "Announced.", ("service", "ip"))
    series = {("a/b", "::1"): 1.0, ('q"', "\\"): 0.25, ("inf", ""): float("inf")}
    family.replace(series)
    [parsed] = text_string_to_metric_families(registry.render().decode())
    read = {(s.labels["service"], s.labels["ip"]): s.value for s in parsed.samples}
    assert read == series


def test_series_come_and_go() -> None:
    """A removed series is gone; a family without series is not shown; labels are checked."""
    registry = Registry()
    family = registry.gauge("x", "X.", ("a",))
    assert registry.render() == b""
    family.set(1, "v")
    assert family.value("v") == 1
    family.remove("v")
    family.remove("v")
    assert (family.value("v"), registry.render()) == (None, b"")
    with pytest.raises(AssertionError):
        family.set(1)
    with pytest.raises(AssertionError):
        registry.counter("x", "again")


@pytest.mark.rule("controller-4.runtime")
def test_process_metrics() -> None:
    """The usual families are there and true enough."""
    registry = Registry()
    add_process_metrics(registry)
    families = {f.name: f for f in text_string_to_metric_families(registry.render().decode())}
    assert families["process_resident_memory_bytes"].samples[0].value > 1e6
    assert families["process_open_fds"].samples[0].value > 2
    assert "process_cpu_seconds" in families


def test_a_histogram() -> None:
    """Each bucket holds what is below it, a value on a bound included; sum and count follow."""
    registry = Registry()
    family = registry.histogram("x_seconds", "X.", (0.1, 1.0))
    for value in (0.1, 0.5, 7.0):
        family.observe(value)
    assert registry.render().decode() == (
        "# HELP x_seconds X.\n"
        "# TYPE x_seconds histogram\n"
        'x_seconds_bucket{le="0.1"} 1\n'
        'x_seconds_bucket{le="1"} 2\n'
        'x_seconds_bucket{le="+Inf"} 3\n'
        "x_seconds_sum 7.6\n"
        "x_seconds_count 3\n"
    )
    family.replace((0, 0, 1), 2.0)
    [parsed] = text_string_to_metric_families(registry.render().decode())
    assert [sample.value for sample in parsed.samples] == [0, 0, 1, 2.0, 1]
    with pytest.raises(AssertionError):
        family.replace((1,), 0.0)

"""`mercurylb explain service`: cause on top, chain below, exit code for scripts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import yaml

from mercurylb.cli.packing import pack
from mercurylb.cli.redaction import redact
from mercurylb.plan.cause import CauseCode
from mercurylb.plan.explanation import explain_service
from tests.unit.cli.clusters import NAMES, expected, objects, snapshot, snapshot_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result

    Run = Callable[..., Result]


@pytest.fixture
def cluster(tmp_path: Path) -> Callable[[str], str]:
    """Give a file with a cluster of the corpus."""

    def cluster(name: str) -> str:
        path = tmp_path / f"{name}.json"
        path.write_bytes(pack(objects(name), is_yaml=False))
        return str(path)

    return cluster


def test_the_cause_stands_on_top(run: Run, cluster: Callable[[str], str]) -> None:
    """First the cause, then what to do, then the chain; 1 says that something is wrong."""
    result = run("explain", "service", "web", "--snapshot", cluster("pool-exhausted"))
    lines = result.stdout.splitlines()
    assert result.exit_code == 1
    assert lines[0] == "Cause: pool main has no free IPv4 address left."
    assert lines[1].startswith("To do: ")
    assert "Service  default/web" in lines
    assert any(line.startswith("Pool     refused main: ") for line in lines)
    assert "Address  none (pending)" in lines


def test_a_healthy_service_shows_its_chain(run: Run, cluster: Callable[[str], str]) -> None:
    """Pool, address, ranked nodes and who announces; 0 says that all is well."""
    result = run("explain", "service", "default/web", "--snapshot", cluster("announced"))
    assert result.exit_code == 0
    assert "Address  192.0.2.8 of pool main (kept)" in result.stdout
    assert "Node     1. n1, announces" in result.stdout
    assert "Node     2. n" in result.stdout
    assert "Says     n1 that it announces it by layer2" in result.stdout


def test_nodes_say_why_they_are_no_candidates(run: Run, cluster: Callable[[str], str]) -> None:
    """Each node that cannot announce has its reason in words."""
    result = run("explain", "service", "web", "--snapshot", cluster("nodes-without-network"))
    assert "Node     -  n1: its network is unavailable" in result.stdout
    assert "Node     -  n2: no advertisement for the service includes it" in result.stdout


def test_what_nodes_do_by_bgp(run: Run, cluster: Callable[[str], str]) -> None:
    """Nodes that do the same share a line: which route goes to whom, and why not to others."""
    result = run("explain", "service", "web", "--snapshot", cluster("announced-by-bgp"))
    assert result.exit_code == 0
    assert "BGP      n1, n2, n3: 192.0.2.8/32 to router (by all)" in result.stdout
    assert "Node " not in result.stdout
    elsewhere = cluster("bgp-peers-on-other-nodes")
    result = run("explain", "service", "web", "--snapshot", elsewhere)
    assert result.exit_code == 1
    assert "BGP      n1, n3: does not announce it: no BGPAdvertisement of the pool includes" in (
        result.stdout
    )
    assert "BGP      n2: 192.0.2.8/32 to no peer (by all)" in result.stdout
    assert "BGP      n2: 192.0.2.8/32 not to router: it has no session with" in result.stdout


def test_sessions_that_are_down_are_noted(run: Run, cluster: Callable[[str], str]) -> None:
    """Also where another one is up, so that nothing is wrong yet."""
    result = run("explain", "service", "web", "--snapshot", cluster("bgp-one-session-up"))
    assert result.exit_code == 0
    note = "the BGP session with router (192.0.2.1:179) is not up on n1, n3: connection refused"
    assert f"Note     {note}" in result.stdout


def test_routes_show_their_attributes(run: Run, tmp_path: Path) -> None:
    """Preference, prepending and communities, and the advertisement that they are from."""
    raws = objects("announced-by-bgp")
    (ad,) = [raw for raw in raws if raw["kind"] == "BGPAdvertisement"]
    ad["spec"] = {"localPref": 7, "asPathPrepend": 2, "communities": ["1:2", "large:1:2:3"]}
    file = tmp_path / "cluster.json"
    file.write_bytes(pack(raws, is_yaml=False))
    result = run("explain", "service", "web", "--snapshot", str(file))
    how = "localPref 7, asPathPrepend 2, communities 1:2:3 1:2, by all"
    assert f"192.0.2.8/32 to router ({how})" in result.stdout
    result = run("explain", "service", "web", "--snapshot", str(file), "-o", "json")
    first = json.loads(result.stdout)["bgp"][0]
    assert (first["node"], first["decision"]["routes"][0]["peers"]) == ("n1", ["router"])


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_programs_get_everything(run: Run, cluster: Callable[[str], str], form: str) -> None:
    """The machine forms have code, verdicts, ranking and events."""
    result = run("explain", "service", "web", "--snapshot", cluster("announced"), "-o", form)
    shown = json.loads(result.stdout) if form == "json" else yaml.safe_load(result.stdout)
    assert shown["cause"]["code"] == "announced"
    assert shown["cause"]["isHealthy"] is True
    assert shown["address"]["verdicts"][0]["pool"] == "main"
    assert "patch" not in shown["address"]
    assert sorted(shown["layer2"]["ranking"]) == ["n1", "n2", "n3"]
    assert shown["announcers"] == [{"node": "n1", "protocol": "layer2", "detail": ""}]


def test_an_unknown_service_is_told_with_the_nearest_one(
    run: Run, cluster: Callable[[str], str]
) -> None:
    """Whoever forgets the namespace is told."""
    result = run("explain", "service", "shop/web", "--snapshot", cluster("announced"))
    assert result.exit_code == 1
    assert "there is no service shop/web; did you mean default/web?" in result.stderr


def test_without_a_cluster_it_says_where_it_looked(run: Run) -> None:
    """No credentials is a plain message, not a traceback."""
    result = run("explain", "service", "web")
    assert result.exit_code == 1
    assert "KUBECONFIG is not set" in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize("name", NAMES)
def test_a_saved_snapshot_says_the_same(name: str) -> None:
    """Nothing that an explanation needs is lost by what a snapshot leaves out."""
    kept = [redact(raw) for raw in objects(name)]
    key = expected(name).service
    assert explain_service(snapshot_of(kept), key) == explain_service(snapshot(name), key)


def test_last_events_are_shown(run: Run, cluster: Callable[[str], str]) -> None:
    """What was said about the service stands at the end."""
    result = run("explain", "service", "web", "--snapshot", cluster("interface-missing"))
    assert "Event    2026-03-01T10:00:00Z announceFailed: the interfaces" in result.stdout


def test_misplaced_objects_are_noted(run: Run, cluster: Callable[[str], str]) -> None:
    """Objects where nobody looks are named even if they are not the cause."""
    file = cluster("requested-pool-in-the-wrong-namespace")
    result = run("explain", "service", "web", "--snapshot", file)
    assert "Note     IPAddressPool shop/gold: ignored" in result.stdout


def test_a_rejected_configuration_takes_nothing_away() -> None:
    """A service that has its address keeps it under the last good configuration."""
    raws = objects("announced")
    raws.append(
        {
            "apiVersion": "metallb.io/v1beta1",
            "kind": "IPAddressPool",
            "metadata": {"name": "bad", "namespace": "metallb-system"},
            "spec": {"addresses": ["192.0.2.0/24"]},
        }
    )
    explanation = explain_service(snapshot_of(raws), "default/web")
    assert explanation is not None
    assert explanation.cause.code is CauseCode.ANNOUNCED
    assert [problem.code for problem in explanation.problems] == ["pool-overlap"]


def test_a_service_that_cannot_be_read_is_told(run: Run, tmp_path: Path) -> None:
    """An object that does not fit its kind is not "no such service"."""
    file = tmp_path / "s.yaml"
    head = "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: default}\n"
    file.write_text(f"{head}spec: {{type: LoadBalancer, ports: 80}}\n")
    result = run("explain", "service", "web", "--snapshot", str(file))
    assert result.exit_code == 1
    assert "Service default/web: spec.ports: Expected" in result.stderr


def test_what_a_snapshot_lacks_is_noted(run: Run, tmp_path: Path) -> None:
    """Nobody takes a kind that was not asked for as one that the cluster does not have."""
    file = tmp_path / "some.json"
    kept = ("Service", "IPAddressPool", "L2Advertisement")
    file.write_bytes(pack([o for o in objects("announced") if o["kind"] in kept], is_yaml=True))
    file.write_bytes(file.read_bytes().replace(b"mercurylb.io/snapshot", b"x"))
    result = run("explain", "service", "web", "--snapshot", str(file))
    for what in ("nodes", "endpoints", "pods"):
        assert f"Note     the snapshot has no {what}: " in result.stdout


def test_ailing_programs_are_noted() -> None:
    """A controller that is away and a speaker that is not ready are told beside the cause."""
    raws = objects("pool-exhausted")
    for raw in raws:
        if raw["kind"] == "Pod" and raw["spec"]["nodeName"] == "n1":
            raw["status"]["conditions"][0]["status"] = "False"
    explanation = explain_service(snapshot_of(raws), "default/web")
    assert explanation is not None
    notes = "\n".join(explanation.notes)
    assert "no controller is ready" in notes
    assert "the webhook is answered by the controller" in notes
    assert "the speakers on n1 are not ready" in notes


def test_deprecated_annotations_are_noted(run: Run, cluster: Callable[[str], str]) -> None:
    """Whoever uses the old prefix is told the new one."""
    file = cluster("pool-unknown-by-the-old-annotation")
    result = run("explain", "service", "web", "--snapshot", file)
    assert "Note     annotation metallb.universe.tf/address-pool is deprecated" in result.stdout


def test_problems_of_the_configuration_are_listed(run: Run, cluster: Callable[[str], str]) -> None:
    """Whatever the cause is, a mistake in the configuration is not left out."""
    file = cluster("configuration-rejected-while-announcing")
    result = run("explain", "service", "web", "--snapshot", file)
    assert result.exit_code == 0
    assert "Problem  IPAddressPool metallb-system/main: spec.addresses[0]: CIDR" in result.stdout

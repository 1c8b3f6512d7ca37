"""`mercurylb plan`: what an edit would do, and exit codes that pipelines can use."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from mercurylb.cli.packing import pack
from tests.unit.cli.clusters import objects

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result

    Run = Callable[..., Result]

HEAD = "apiVersion: metallb.io/v1beta1\nkind: IPAddressPool\n"
OTHER = f"{HEAD}metadata: {{name: other}}\nspec: {{addresses: [198.51.100.0/30]}}\n"
MAIN = f"{HEAD}metadata: {{name: main}}\nspec: {{addresses: [198.51.100.0/30]}}\n"
WIDER = f"{HEAD}metadata: {{name: main}}\nspec: {{addresses: [192.0.2.8/29]}}\n"
OVERLAPPING = f"{HEAD}metadata: {{name: other}}\nspec: {{addresses: [192.0.2.8/32]}}\n"
ADVERTISEMENT = (
    "apiVersion: metallb.io/v1beta1\nkind: L2Advertisement\nmetadata: {name: new}\n"
    "spec: {nodeSelectors: [{matchLabels: {'/': x}}]}\n"
)


@pytest.fixture
def full(tmp_path: Path) -> str:
    """Give a snapshot of a cluster with one pool of two addresses, both in use, and a waiter."""
    path = tmp_path / "full.json"
    path.write_bytes(pack(objects("pool-exhausted"), is_yaml=False))
    return str(path)


@pytest.mark.parametrize(
    ("text", "arguments", "lines", "code"),
    [
        (OTHER, [], ["+ Service default/web would get 198.51.100.0"], 3),
        (WIDER, [], ["+ Service default/web would get 192.0.2.10"], 3),
        (
            MAIN,
            [],
            [
                "~ Service default/first would move from 192.0.2.8 to 198.51.100.0",
                "~ Service default/second would move from 192.0.2.9 to 198.51.100.1",
                "+ Service default/web would get 198.51.100.2",
            ],
            3,
        ),
        (
            OTHER,
            ["--replace"],
            ["~ Service default/first would move from 192.0.2.8 to 198.51.100.0"],
            3,
        ),
        (
            "",
            ["--delete", "IPAddressPool/main"],
            [
                "- Service default/first would lose 192.0.2.8",
                "? Service default/web would still have no address",
            ],
            3,
        ),
        ("", ["--delete", "ipaddresspools/main"], ["- Service default/first would lose"], 3),
        (
            "",
            ["--delete", "service/default/first"],
            ["+ Service default/web would get 192.0.2.8"],
            3,
        ),
        ("", ["--delete", "l2advertisement/lan"], ["Plan: no service changes, 2 unchanged."], 0),
        (OVERLAPPING, [], ["The controller would reject this configuration"], 1),
        (ADVERTISEMENT, [], ["The speakers would reject this configuration"], 1),
    ],
)
def test_an_edit_is_shown_by_what_it_does(  # noqa: PLR0913, PLR0917 (a table of facts)
    run: Run, full: str, text: str, arguments: list[str], lines: list[str], code: int
) -> None:
    """Services that move, lose or get an address stand one to a line, with the reason."""
    files = ["-f", "-"] if text else []
    arguments = ["plan", *files, *arguments, "--snapshot", full, "--detailed-exitcode"]
    result = run(*arguments, stdin=text)
    assert result.exit_code == code, result.output
    for line in lines:
        assert line in result.stdout


def test_changes_are_no_failure_unless_asked(run: Run, full: str) -> None:
    """Without --detailed-exitcode only problems make another exit code than 0."""
    assert run("plan", "-f", "-", "--snapshot", full, stdin=OTHER).exit_code == 0
    assert run("plan", "-f", "-", "--snapshot", full, stdin=OVERLAPPING).exit_code == 1


def test_a_new_service_may_be_among_the_files(run: Run, full: str) -> None:
    """A service that does not exist yet is planned with the cluster IPs it would get."""
    text = (
        "apiVersion: v1\nkind: Service\nmetadata: {name: new, namespace: default}\n"
        "spec: {type: LoadBalancer}\n"
    )
    result = run("plan", "-f", "-", "--snapshot", full, stdin=f"{WIDER}---\n{text}")
    assert "+ Service default/new would get 192.0.2.11" in result.stdout


def test_the_machine_form_has_everything(run: Run, full: str) -> None:
    """The JSON form has kinds of change, addresses before and after, and pools."""
    result = run("plan", "-f", "-", "--snapshot", full, "-o", "json", stdin=MAIN)
    shown = json.loads(result.stdout)
    assert [change["kind"] for change in shown["changed"]] == ["moved", "moved", "assigned"]
    assert shown["changed"][0]["addresses_before"] == ["192.0.2.8"]
    assert [pool["pool"] for pool in shown["pools"]] == ["main"]


@pytest.mark.parametrize(
    ("arguments", "about"),
    [
        ([], "nothing would change"),
        (["--delete", "main"], "write KIND/NAME"),
        (["--delete", "IPAddressPool/none"], "there is no such object"),
    ],
)
def test_wrong_usage_exits_with_2(run: Run, full: str, arguments: list[str], about: str) -> None:
    """A plan of nothing and a deletion of nothing are mistakes of whoever typed them."""
    result = run("plan", *arguments, "--snapshot", full)
    assert result.exit_code == 2
    assert about in result.output


def test_files_that_cannot_be_read_fail(run: Run, full: str) -> None:
    """Malformed YAML and objects that do not fit their kind are told."""
    result = run("plan", "-f", "-", "--snapshot", full, stdin="a: [")
    assert (result.exit_code, "not YAML" in result.output) == (1, True)
    wrong = f"{HEAD}metadata: {{name: a}}\nspec: {{addresses: 5}}\n"
    result = run("plan", "-f", "-", "--snapshot", full, stdin=wrong)
    assert result.exit_code == 1
    assert "IPAddressPool metallb-system/a: spec.addresses" in result.output


@pytest.fixture
def routed(tmp_path: Path) -> str:
    """Give a snapshot of a cluster in which three nodes tell a router of one service."""
    path = tmp_path / "routed.json"
    path.write_bytes(pack(objects("announced-by-bgp"), is_yaml=False))
    return str(path)


AD = "apiVersion: metallb.io/v1beta1\nkind: BGPAdvertisement\nmetadata: {name: all}\nspec: "
SPINE = (
    "apiVersion: metallb.io/v1beta2\nkind: BGPPeer\nmetadata: {name: spine}\n"
    "spec: {myASN: 64512, peerASN: 64513, peerAddress: 192.0.2.2}\n"
)
ROUTE = "Route 192.0.2.8/32 of default/web"
ROUTES = [
    ("{localPref: 7}", [f"~ {ROUTE} would go to router from n1, n2, n3 otherwise (localPref 7)"]),
    (
        "{nodeSelectors: [{matchLabels: {kubernetes.io/hostname: n2}}]}",
        [f"- {ROUTE} would not go to router from n1, n3 any more"],
    ),
    ("{peers: [spine]}", [f"- {ROUTE} would not go to router from n1, n2, n3 any more"]),
    (
        "{aggregationLength: 29}",
        [
            "+ Route 192.0.2.8/29 of default/web would go to router from n1, n2, n3",
            f"- {ROUTE} would not go to router from n1, n2, n3 any more",
        ],
    ),
    (f"{{}}\n---\n{SPINE}", [f"+ {ROUTE} would go to spine from n1, n2, n3"]),
    ("{}", []),
]


@pytest.mark.parametrize(("spec", "expected"), ROUTES)
def test_routes_that_would_change(
    run: Run, tmp_path: Path, routed: str, spec: str, expected: list[str]
) -> None:
    """Which nodes would tell which peers something else; addresses stay as they are."""
    file = tmp_path / "new.yaml"
    file.write_text(f"{AD}{spec}\n")
    result = run("plan", "-f", str(file), "--snapshot", routed)
    assert result.exit_code == 0
    assert [line for line in result.stdout.splitlines() if " Route " in line] == expected
    assert result.stdout.splitlines()[-1] == "Plan: no service changes, 1 unchanged."


def test_an_address_that_moves_takes_its_route_along(run: Run, tmp_path: Path, routed: str) -> None:
    """What the controller would do first is taken into account."""
    file = tmp_path / "new.yaml"
    file.write_text(MAIN)
    result = run("plan", "-f", str(file), "--snapshot", routed, "-o", "json")
    routes = json.loads(result.stdout)["routes"]
    assert [(each["prefix"], each["kind"]) for each in routes] == [
        ("192.0.2.8/32", "withdrawn"),
        ("198.51.100.0/32", "told"),
    ]


def test_local_services_change_where_their_pods_are(run: Run, tmp_path: Path) -> None:
    """The third node has none, so nothing changes there."""
    raws = objects("announced-by-bgp")
    for raw in raws:
        if raw["kind"] == "Service":
            raw["spec"]["externalTrafficPolicy"] = "Local"
    snapshot = tmp_path / "cluster.json"
    snapshot.write_bytes(pack(raws, is_yaml=False))
    file = tmp_path / "new.yaml"
    file.write_text(f"{AD}{{localPref: 7}}\n")
    result = run("plan", "-f", str(file), "--snapshot", str(snapshot))
    assert f"~ {ROUTE} would go to router from n1, n2 otherwise (localPref 7)" in result.stdout

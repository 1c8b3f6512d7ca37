"""`mercurylb validate`: every mistake with its line, and an exit code that scripts can trust."""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest

from mercurylb.cli.documents import parse_documents
from mercurylb.cli.inventory import take_inventory
from mercurylb.cli.validation import guess_namespace, validate

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result

    Run = Callable[..., Result]

POOL = """\
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: main, namespace: metallb-system}
spec:
  addresses: [192.0.2.0/24]
"""


def pool(spec: str, name: str = "main", namespace: str = "metallb-system") -> str:
    """Make a pool's manifest: four lines, then its spec."""
    head = f"apiVersion: metallb.io/v1beta1\nkind: IPAddressPool\nmetadata: {{name: {name}"
    return f"{head}, namespace: {namespace}}}\nspec:\n{textwrap.indent(spec, '  ')}\n"


def other(kind: str, spec: str, *, version: str = "metallb.io/v1beta1") -> str:
    """Make a manifest of any kind: four lines, then its spec."""
    head = f"apiVersion: {version}\nkind: {kind}\nmetadata: {{name: a, namespace: metallb-system}}"
    return f"{head}\nspec:\n{textwrap.indent(spec, '  ')}\n"


def service(spec: str = "", annotations: str = "{}") -> str:
    """Make a service's manifest, as people write it."""
    return (
        f"apiVersion: v1\nkind: Service\nmetadata: {{name: web, annotations: {annotations}}}\n"
        f"spec:\n  type: LoadBalancer\n  ports: [{{port: 80}}]\n{textwrap.indent(spec, '  ')}\n"
    )


def found(text: str, **options: Any) -> list[tuple[str, int, str]]:
    """Give code, line and severity of everything found."""
    documents = parse_documents(text.encode(), source="f.yaml")
    home = options.pop("namespace", "metallb-system")
    options = {"backend": "native", **options}
    validation = validate(take_inventory(documents, namespace=home), namespace=home, **options)
    return [(f.problem.code, f.line, f.severity.value) for f in validation.findings]


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        (pool("addresses: [192.0.2.0/24]\nautoAsign: false"), "schema-unknown-field", 6),
        (pool("addresses: [192.0.2.0/24]\nautoAssign: 'no'"), "schema-type", 6),
        (pool("addresses: 192.0.2.0/24"), "schema-type", 5),
        (pool("autoAssign: true"), "schema-required", 4),
        (pool("addresses:\n- 192.0.2.0/24\n- 192.0.2.1"), "pool-address", 7),
        (pool("addresses:\n- 192.0.2.0/24\n- 192.0.2.9/32"), "pool-overlap", 7),
        (POOL + "---\n" + pool("addresses: [192.0.2.7/32]", "z"), "pool-overlap", 11),
        (POOL + "---\n" + POOL.replace("2.0/24", "3.0/24"), "name-duplicate", 9),
        (pool("addresses: [192.0.2.0/24]", "Upper"), "schema-name", 3),
        (pool("addresses: [192.0.2.0/24]", namespace="default"), "namespace", 3),
        (other("BFDProfile", "receiveInterval: 5"), "schema-bounds", 5),
        (other("BFDProfile", "receiveInterval: true"), "schema-type", 5),
        (other("BGPAdvertisement", "aggregationLength: 0"), "schema-bounds", 5),
        (other("BGPAdvertisement", "asPathPrepend: 11"), "schema-bounds", 5),
        (
            other("L2Advertisement", "nodeSelectors: [{matchLabels: {a: '/'}}]"),
            "selector-invalid",
            5,
        ),
        (other("AddressPool", "protocol: layer2"), "schema-version", 1),
        (
            other("IPAddressPool", "addresses: ['::/64']", version="metallb.io/v1"),
            "schema-version",
            1,
        ),
        (other("Community", "communities: [{name: a, value: '1'}]"), "community-value", 5),
        ("kind: 5", "unreadable", 1),
        ("- a\n- b", "unreadable", 1),
        (
            other(
                "BGPPeer",
                "myASN: 1\npeerASN: 2\npeerAddress: 192.0.2.1\nconnectTime: 500ms",
                version="metallb.io/v1beta2",
            ),
            "schema-bounds",
            8,
        ),
        (
            other(
                "BGPPeer",
                "myASN: 1\npeerASN: 2\npeerAddress: 192.0.2.1\nconnectTime: 1500ms",
                version="metallb.io/v1beta2",
            ),
            "schema-bounds",
            8,
        ),
        (
            other("BGPPeer", "myASN: 0\npeerASN: 2\npeerAddress: 192.0.2.1"),
            "peer-asn",
            5,
        ),
    ],
)
def test_a_mistake_is_found_at_its_line(text: str, code: str, line: int) -> None:
    """Schema and configuration mistakes have a code and the line of their field."""
    assert (code, line, "error") in found(text)


def test_good_manifests_have_no_findings() -> None:
    """What a cluster would take passes, other kinds and typed lists included."""
    peer = "myASN: 64512\npeerASN: 64513\npeerAddress: 192.0.2.1"
    items = (
        "apiVersion: metallb.io/v1beta1\nkind: CommunityList\n"
        "items: [{metadata: {name: c, namespace: metallb-system},"
        " spec: {communities: [{name: gold, value: '64512:1'}]}}]\n"
    )
    texts = [
        POOL,
        other("L2Advertisement", "ipAddressPools: [main]"),
        other("BGPAdvertisement", "communities: [gold]"),
        other("BGPPeer", peer, version="metallb.io/v1beta2"),
        items,
        service(),
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n",
    ]
    assert found("---\n".join(texts)) == []


def test_every_mistake_is_found_at_once() -> None:
    """A field of the wrong type does not hide the mistakes in the other fields."""
    text = pool("avoidBuggyIPs: 1\naddresses:\n- 192.0.2.0/33\nautoAssign: x")
    assert [code for code, *_ in found(text)] == ["schema-type", "pool-address", "schema-type"]


def test_what_may_be_in_other_files_is_a_warning() -> None:
    """A BFD profile or an alias that is not there may come from elsewhere."""
    peer = "myASN: 1\npeerASN: 2\npeerAddress: 192.0.2.1\nbfdProfile: fast"
    text = other("BGPPeer", peer, version="metallb.io/v1beta2")
    assert found(text, backend="frr") == [("bfd-profile-missing", 8, "warning")]


PEER_WITH_SECRET = other(
    "BGPPeer",
    "myASN: 1\npeerASN: 2\npeerAddress: 192.0.2.1\npasswordSecret: {name: router}",
    version="metallb.io/v1beta2",
)


def secret(*fields: str) -> str:
    """Make the secret of a peer's password, as people write it."""
    head = "apiVersion: v1\nkind: Secret\nmetadata: {name: router, namespace: metallb-system}"
    return "\n".join([head, "type: kubernetes.io/basic-auth", *fields, ""])


@pytest.mark.parametrize(
    ("fields", "codes"),
    [
        (["data: {password: b3Blbg==}"], []),
        (["stringData: {password: open}"], []),
        (["data: {username: eA==}", "stringData: {password: open}"], []),
        (["data: {password: '%'}", "stringData: {password: open}"], []),
        (["data: {password: '%'}"], ["secret-password"]),
        (["stringData: {password: ''}"], []),
        (["stringData: {user: open}"], ["secret-password"]),
        (["stringData: {password: 5}"], ["secret-missing", "unreadable"]),
    ],
)
def test_passwords_may_be_written_as_text(fields: list[str], codes: list[str]) -> None:
    """A secret's stringData counts as the API server takes it: encoded, before data so called."""
    text = f"{PEER_WITH_SECRET}---\n{secret(*fields)}"
    assert sorted(code for code, *_ in found(text)) == codes
    assert "open" not in str(
        take_inventory(parse_documents(text.encode(), source="f.yaml")).items[1].value
    )


def test_the_backend_decides() -> None:
    """What a backend cannot do is a mistake for that backend only."""
    text = other("BGPAdvertisement", "asPathPrepend: 2")
    assert found(text) == []
    assert "backend-feature" in [code for code, *_ in found(text, backend="frr")]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (service(annotations="{metallb.io/loadBalancerIPs: 198.51.100.1}"), "addressInNoPool"),
        (service(annotations="{metallb.io/loadBalancerIPs: a.example}"), "requestNotAnAddress"),
        (service(annotations="{metallb.io/address-pool: gold}"), "poolUnknown"),
        (service("ipFamilies: [IPv6]"), "poolLacksFamily"),
        (service("ipFamilyPolicy: RequireDualStack"), "poolLacksFamily"),
        (service("loadBalancerIP: 2001:db8::1"), "requestWrongFamily"),
    ],
)
def test_services_that_ask_for_the_impossible_are_found(text: str, code: str) -> None:
    """A service among the files must be able to have what it asks for."""
    assert [code for code, *_ in found(f"{POOL}---\n{text}")] == [f"service-{code}"]


def test_services_without_pools_are_nobodys_fault() -> None:
    """Without pools in the files nothing is said about services."""
    assert found(service(annotations="{metallb.io/address-pool: gold}")) == []


def test_the_namespace_is_that_of_most_objects() -> None:
    """Objects without a namespace do not vote; without any vote it is the usual one."""
    texts = [
        pool("addresses: [192.0.2.0/24]", n, s)
        for n, s in (("a", "one"), ("b", "two"), ("c", "two"))
    ]
    bare = POOL.replace(", namespace: metallb-system", "")
    for text, home in (("---\n".join(texts), "two"), (bare, "metallb-system")):
        documents = parse_documents(text.encode(), source="f.yaml")
        assert guess_namespace(take_inventory(documents)) == home


# --- the command -----------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a folder with one good and one bad manifest, one of them deeper, and other files."""
    (tmp_path / "deep").mkdir()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "x.yaml").write_text("a: [")
    (tmp_path / "notes.txt").write_text("a: [")
    (tmp_path / "good.yaml").write_text(POOL)
    (tmp_path / "deep" / "bad.yml").write_text(pool("addresses: [192.0.2.0/33]", "bad"))
    return tmp_path


def test_folders_are_walked(run: Run, folder: Path) -> None:
    """Manifests in folders of folders count unless told otherwise; hidden ones never do."""
    result = run("validate", "-f", str(folder))
    assert result.exit_code == 1
    assert "deep/bad.yml:5: IPAddressPool metallb-system/bad: spec.addresses[0]: " in result.output
    assert "2 objects checked" in result.output
    assert run("validate", "-f", str(folder), "--no-recursive").exit_code == 0


def test_standard_input_and_repeated_files(run: Run, folder: Path) -> None:
    """`-` is the standard input, and all files are checked together."""
    overlapping = pool("addresses: [192.0.2.9/32]", "other")
    assert run("validate", "-f", "-", stdin=overlapping).exit_code == 0
    result = run("validate", "-f", "-", "-f", str(folder / "good.yaml"), stdin=overlapping)
    assert result.exit_code == 1
    assert "<stdin>:5: IPAddressPool metallb-system/other" in result.output


def test_a_file_that_cannot_be_read_does_not_hide_the_others(run: Run, folder: Path) -> None:
    """Malformed YAML is one finding with its line."""
    (folder / "broken.yaml").write_text("a:\n  - b\n c")
    result = run("validate", "-f", str(folder), "-f", str(folder / "none.yaml"))
    assert "broken.yaml:3: file: not YAML" in result.output
    assert "none.yaml: file: there is no such file" in result.output
    assert "bad.yml:5" in result.output


def test_warnings_fail_only_if_strict(run: Run) -> None:
    """Warnings alone exit with 0."""
    text = other("BGPAdvertisement", "communities: [gold]")
    assert run("validate", "-f", "-", stdin=text).exit_code == 0
    assert run("validate", "-f", "-", "--strict", stdin=text).exit_code == 1


def test_wrong_usage_exits_with_2(run: Run) -> None:
    """Unknown options and missing ones are told from problems that were found."""
    assert run("validate").exit_code == 2
    assert run("validate", "-f", "-", "--frm").exit_code == 2
    assert run("validate", "-f", "-", "-o", "xml").exit_code == 2


def test_json_has_everything(run: Run, folder: Path) -> None:
    """The JSON form has each finding with all its parts."""
    shown = json.loads(run("validate", "-f", str(folder), "-o", "json").stdout)
    (finding,) = shown["findings"]
    assert shown["checked"] == 2
    assert finding["file"].endswith("bad.yml")
    assert (finding["line"], finding["severity"], finding["code"]) == (5, "error", "pool-address")
    assert (finding["field"], finding["value"]) == ("spec.addresses[0]", "192.0.2.0/33")


def test_sarif_names_rules_and_lines(run: Run, folder: Path) -> None:
    """The SARIF log has the version, rules by index, and physical locations with lines."""
    shown = json.loads(run("validate", "-f", str(folder), "-o", "sarif").stdout)
    assert shown["version"] == "2.1.0"
    (log,) = shown["runs"]
    (result,) = log["results"]
    rules = log["tool"]["driver"]["rules"]
    assert rules[result["ruleIndex"]]["id"] == result["ruleId"] == "pool-address"
    assert rules[0]["shortDescription"]["text"] != "pool-address"
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"].endswith("deep/bad.yml")
    assert place["region"] == {"startLine": 5}
    assert result["level"] == "error"


def test_sarif_of_good_files_is_a_log_without_results(run: Run) -> None:
    """Nothing found is a valid log too."""
    shown = json.loads(run("validate", "-f", "-", "-o", "sarif", stdin=POOL).stdout)
    assert shown["runs"][0]["results"] == []


def test_junit_is_xml_whatever_the_files_hold(run: Run) -> None:
    """Control characters and markup in values do not break the report."""
    text = pool('addresses: ["<&\\u0000\\n]]>\\"é"]', "bad")
    result = run("validate", "-f", "-", "-o", "junit", stdin=text)
    suite = ET.fromstring(result.stdout)
    assert (suite.get("tests"), suite.get("failures")) == ("1", "1")
    failure = suite.find("testcase/failure")
    assert failure is not None
    assert failure.get("type") == "pool-address"
    assert "spec.addresses[0]" in failure.get("message", "")


def test_junit_of_good_files_has_a_case_that_passed(run: Run) -> None:
    """A report without any case would be taken for a run that did not happen."""
    suite = ET.fromstring(run("validate", "-f", "-", "-o", "junit", stdin=POOL).stdout)
    assert (suite.get("tests"), suite.get("failures")) == ("1", "0")

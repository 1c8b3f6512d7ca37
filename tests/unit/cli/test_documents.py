"""Documents: values as Kubernetes reads them, lines that lead to the field, and bounds."""

from __future__ import annotations

import pytest

from mercurylb.cli import documents
from mercurylb.cli.documents import UnreadableDocument, parse_documents

BOMB = b"a0: &a0 [x]\n" + b"".join(
    b"a%d: &a%d [%s]\n" % (n, n, b",".join([b"*a%d" % (n - 1)] * 10)) for n in range(1, 12)
)


def values(text: str | bytes) -> list[object]:
    """Read the values of all documents."""
    content = text.encode() if isinstance(text, str) else text
    return [document.value for document in parse_documents(content, source="f.yaml")]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("64512:1", "64512:1"),
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
        ("yes", True),
        ("off", False),
        ("0x1f", 31),
        ("010", 8),
        ("0o10", 8),
        ("1_000", 1000),
        ("-5", -5),
        ("1e3", 1000.0),
        ("1.5", 1.5),
        ("192.0.2.1", "192.0.2.1"),
        ("'5'", "5"),
        ('"yes"', "yes"),
        ("!!str 5", "5"),
        ("!!int 5", 5),
        ("~", None),
        ("1" * 500, "1" * 500),
        ("0b2", "0b2"),
    ],
)
def test_scalars_mean_what_kubernetes_takes_them_for(text: str, value: object) -> None:
    """Communities and time stamps stay text, and yes is true."""
    assert values(f"key: {text}") == [{"key": value}]


def test_anchors_aliases_and_merges_are_followed() -> None:
    """What YAML can abbreviate is written out; own keys win over merged ones."""
    text = "base: &b {x: 1, y: 2}\nmore: [*b]\nown:\n  <<: *b\n  y: 3\n"
    base = {"x": 1, "y": 2}
    assert values(text) == [{"base": base, "more": [base], "own": {"y": 3, "x": 1}}]


def test_empty_documents_are_left_out() -> None:
    """Separators without anything between them are no objects."""
    assert values("---\n---\na: 1\n---\n# only a comment\n") == [{"a": 1}]
    assert values("") == []


def test_json_is_read_as_json() -> None:
    """Escapes and tabs that YAML does not know do no harm."""
    assert values('{\n\t"a": "\\ud83d\\ude00\\/"}') == [{"a": "😀/"}]


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("", 2),
        ("spec.addresses[1]", 8),
        ("spec.addresses[9]", 6),
        ("metadata.labels.a.b/c", 5),
        ("metadata.labels.zz", 4),
        ("spec.selectors[0].matchLabels", 10),
        ("nothing", 2),
    ],
)
def test_a_field_path_leads_to_its_line(path: str, line: int) -> None:
    """Keys with dots are found, and a field that is not there leads to what is around it."""
    text = (
        "---\n"
        "kind: IPAddressPool\n"
        "metadata:\n"
        "  labels:\n"
        "    a.b/c: x\n"
        "spec: {addresses: [\n"
        "    a,\n"
        "    b],\n"
        "  selectors: [\n"
        "    {matchLabels: {}}]}\n"
    )
    (document,) = parse_documents(text.encode(), source="f.yaml")
    assert document.line_of(path) == line


def test_json_has_lines_too() -> None:
    """A file in JSON leads to the line as well."""
    (document,) = parse_documents(b'{"kind": "X",\n "spec": {\n  "a": [1,\n 2]}}', source="f.json")
    assert document.line_of("spec.a[1]") == 4


@pytest.mark.parametrize(
    ("content", "line", "about"),
    [
        (b"a: [1", 2, "not YAML"),
        (b"a:\n\t- b", 2, "not YAML"),
        (b"x: 1\n  y: 2", 2, "not YAML"),
        (b"a: 1\nb: \xff", 2, "not UTF-8"),
        (b"a: 1\nb: \x07", 2, "control characters"),
        (b"a: 1\na: 2", 2, "twice"),
        (b"a: *x", 1, "stands for nothing"),
        (b"a: &x [*x]", 1, "for itself"),
        (b"? [a]\n: b", 1, "cannot be a key"),
        (b"&a x: 1\n*a : 2", 2, "stands for nothing"),
        (b"a: !!python/object:os.system x", 1, "tag"),
        (b"a: !!int x", 1, "tag"),
        (b"- <<: 3", 1, "merges mappings"),
        (b"? " + b"k" * 5000 + b"\n: 1", 1, "key of more than"),
        (BOMB, 8, "aliases counted in full"),
        (b"- " * 200, 1, "nested more than"),
        (b"[" * 100_000, 0, "nested"),
        (b'{"a":' * 100_000, 0, "nested"),
        (b"[" * 500 + b"]" * 500, 0, "nested"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_line(
    content: bytes, line: int, about: str
) -> None:
    """Malformed and hostile files end in one error that says where and what."""
    with pytest.raises(UnreadableDocument) as caught:
        parse_documents(content, source="f.yaml")
    assert about in caught.value.message
    assert caught.value.line == line


def test_large_files_are_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file beyond the bound costs nothing but its size."""
    monkeypatch.setattr(documents, "BYTES_MAX", 1000)
    with pytest.raises(UnreadableDocument, match="larger than"):
        parse_documents(b"a: b\n" * 201, source="f.yaml")

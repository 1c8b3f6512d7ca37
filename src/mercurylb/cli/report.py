"""What was found, for people and for other programs: text, JSON, SARIF 2.1.0, JUnit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from xml.sax.saxutils import quoteattr

import msgspec

from mercurylb import __version__
from mercurylb.cli.validation import RULES, Severity, Validation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mercurylb.cli.validation import Finding

_SARIF_SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"


def place(found: Finding) -> str:
    """Give `file:line` as editors understand it."""
    if not found.line:
        return found.source or "(no file)"
    return f"{found.source}:{found.line}"


def to_text(validation: Validation) -> Iterator[tuple[str, str]]:
    """Give lines, each with the kind of thing it says: error, warning, hint or summary."""
    for found in validation.findings:
        problem = found.problem
        where = f"{problem.object}: {problem.field}" if problem.field else problem.object
        yield found.severity.value, f"{place(found)}: {where}: {problem.message} [{problem.code}]"
        if problem.hint:
            yield "hint", f"    {problem.hint}"
    yield "summary", summary(validation)


def summary(validation: Validation) -> str:
    """Give one sentence with the figures."""
    counts = dict.fromkeys(Severity, 0)
    for found in validation.findings:
        counts[found.severity] += 1
    errors, warnings = counts[Severity.ERROR], counts[Severity.WARNING]
    skipped = sum(validation.skipped.values())
    kinds = ", ".join(f"{count} {kind}" for kind, count in validation.skipped.items())
    rest = f"; {skipped} of other kinds skipped ({kinds})" if skipped else ""
    services = (
        "" if validation.are_services_checked else "; services not, the configuration comes first"
    )
    objects = "object" if validation.checked == 1 else "objects"
    return (
        f"{validation.checked} {objects} checked for namespace {validation.namespace}:"
        f" {_count(errors, 'error')}, {_count(warnings, 'warning')}{rest}{services}"
    )


def _count(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"


def to_json(validation: Validation) -> str:
    """Give the whole validation for machines."""
    shown = {
        "namespace": validation.namespace,
        "checked": validation.checked,
        "skipped": validation.skipped,
        "findings": [
            {
                "severity": found.severity.value,
                "file": found.source,
                "line": found.line or None,
                "object": found.problem.object,
                "field": found.problem.field,
                "value": found.problem.value,
                "message": found.problem.message,
                "hint": found.problem.hint,
                "code": found.problem.code,
            }
            for found in validation.findings
        ],
    }
    return pretty(shown)


def to_sarif(validation: Validation) -> str:
    """Give a log that code hosts show beside the lines."""
    codes = sorted({found.problem.code for found in validation.findings})
    run = {
        "tool": {
            "driver": {
                "name": "mercurylb",
                "version": __version__,
                "rules": [
                    {"id": code, "shortDescription": {"text": RULES.get(code, code)}}
                    for code in codes
                ],
            }
        },
        "columnKind": "unicodeCodePoints",
        "results": [_result(found, codes) for found in validation.findings],
    }
    return pretty({"$schema": _SARIF_SCHEMA, "version": "2.1.0", "runs": [run]})


def _result(found: Finding, codes: list[str]) -> dict[str, object]:
    problem = found.problem
    result: dict[str, object] = {
        "ruleId": problem.code,
        "ruleIndex": codes.index(problem.code),
        "level": found.severity.value,
        "message": {"text": str(problem)},
    }
    if found.source:
        location: dict[str, object] = {"artifactLocation": {"uri": _uri(found.source)}}
        if found.line:
            location["region"] = {"startLine": found.line}
        logical = {"fullyQualifiedName": f"{problem.object} {problem.field}".rstrip()}
        result["locations"] = [{"physicalLocation": location, "logicalLocations": [logical]}]
    return result


def _uri(source: str) -> str:
    from urllib.parse import quote  # noqa: PLC0415 (for this format only)

    return quote(source.removeprefix("./"))


def to_junit(validation: Validation) -> str:
    """Give a test report: a case per object with a problem, or one that passed."""
    by_object: dict[tuple[str, str], list[Finding]] = {}
    for found in validation.findings:
        by_object.setdefault((found.source, found.problem.object), []).append(found)
    cases = [
        _case(source, name, findings) for (source, name), findings in sorted(by_object.items())
    ]
    if not cases:
        cases = [f'  <testcase classname="mercurylb" name={quoteattr(summary(validation))}/>']
    failures = sum("<failure" in case for case in cases)
    head = f'<testsuite name="mercurylb validate" tests="{len(cases)}" failures="{failures}">'
    body = "\n".join(cases)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{head}\n{body}\n</testsuite>'


def _case(source: str, name: str, findings: list[Finding]) -> str:
    lines = [f"  <testcase classname={_xml(source or '-')} name={_xml(name)}>"]
    errors = [found for found in findings if found.severity is Severity.ERROR]
    if errors:
        text = "\n".join(f"{place(found)}: {found.problem}" for found in errors)
        lines.append(f"    <failure type={_xml(errors[0].problem.code)} message={_xml(text)}/>")
    warnings = [found for found in findings if found.severity is Severity.WARNING]
    if warnings:
        text = "\n".join(f"{place(found)}: {found.problem}" for found in warnings)
        lines.append(f"    <system-out>{_content(text)}</system-out>")
    return "\n".join([*lines, "  </testcase>"])


def _clean(text: str) -> str:
    """Leave out what XML cannot hold."""
    return "".join(each if each.isprintable() or each == "\n" else "�" for each in text)


def _xml(text: str) -> str:
    return quoteattr(_clean(text), {"\n": "&#10;"})


def _content(text: str) -> str:
    from xml.sax.saxutils import escape  # noqa: PLC0415 (for this format only)

    return escape(_clean(text))


def pretty(value: object) -> str:
    """Give JSON for people and programs."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()

"""From the names of files to what is wrong in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mercurylb.cli.documents import Document, UnreadableDocument
from mercurylb.cli.files import find_files, read_documents
from mercurylb.cli.inventory import take_inventory
from mercurylb.cli.validation import Finding, Severity, Validation, guess_namespace, validate
from mercurylb.config.problem import Code, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable


def check_files(
    paths: Iterable[str], *, is_recursive: bool, namespace: str, backend: str, lb_class: str
) -> Validation:
    """Check all files together; one that cannot be read is a finding of its own.

    Raises `UnreadableDocument` if a directory cannot be walked.
    """
    documents: list[Document] = []
    broken: list[Finding] = []
    for name in find_files(paths, recursive=is_recursive):
        try:
            documents += read_documents(name)
        except UnreadableDocument as error:
            problem = Problem("file", "", "", error.message, "", Code.UNREADABLE.value)
            broken.append(Finding(Severity.ERROR, error.source, error.line, problem))
    home = namespace or guess_namespace(take_inventory(documents))
    checked = validate(
        take_inventory(documents, namespace=home),
        namespace=home,
        backend=backend,
        lb_class=lb_class,
    )
    findings = (*broken, *checked.findings)
    return msgspec.structs.replace(
        checked, findings=tuple(sorted(findings, key=lambda found: (found.source, found.line)))
    )

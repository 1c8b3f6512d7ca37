"""Reading the old ConfigMap, and writing what it becomes."""

from __future__ import annotations

from typing import Any

from mercurylb.cli.configmap import DEFAULT_NAMESPACE, HEADER, convert
from mercurylb.cli.documents import Document, UnreadableDocument, parse_documents
from mercurylb.cli.files import read_documents
from mercurylb.cli.inventory import take_inventory
from mercurylb.cli.manifest import to_yaml
from mercurylb.config.compilation import compile_config
from mercurylb.config.problem import Problem
from mercurylb.config.resources import gather
from mercurylb.errors import ConfigError

SEPARATOR = "---\n"


def migrate_configmap(source: str, *, is_only_data: bool) -> tuple[str, tuple[str, ...]]:
    """Give the manifests, and a sentence for each changed name.

    Raises `UnreadableDocument`, or `ConfigError` with all problems.
    """
    documents = read_documents(source)
    value: object = documents[0].value if documents else None
    namespace = DEFAULT_NAMESPACE
    if not is_only_data:
        value, namespace = _data_of(value, source)
    conversion = convert(value, namespace=namespace)
    objects = [Document(item, source, 0, documents[0].lines, None) for item in conversion.objects]
    inventory = take_inventory(objects)
    problems = [item.problem for item in inventory.items if item.problem is not None]
    values = [item.value for item in inventory.items if item.value is not None]
    # No backend is chosen yet, and there are no secrets.
    problems += compile_config(gather(values, backend="", passes_secrets=True))[1]
    if problems:
        raise ConfigError(tuple(problems))
    return HEADER + "".join(f"{to_yaml(item)}{SEPARATOR}" for item in conversion.objects), (
        conversion.renamed
    )


def _data_of(value: object, source: str) -> tuple[object, str]:
    """Give the inner document of a ConfigMap, and its namespace."""
    if not isinstance(value, dict) or value.get("kind") != "ConfigMap":
        raise _refused("kind", "not a ConfigMap", "with --only-data the inner text is taken")
    if value.get("apiVersion") != "v1":
        raise _refused("apiVersion", "not a v1 ConfigMap")
    data: Any = value.get("data")
    text = data.get("config") if isinstance(data, dict) else None
    if not text:
        raise _refused("data.config", "bad ConfigMap: no data")
    if not isinstance(text, str):
        raise _refused("data.config", "must be text")
    metadata: Any = value.get("metadata")
    namespace = metadata.get("namespace") if isinstance(metadata, dict) else None
    try:
        documents = parse_documents(text.encode(), source=f"{source}, data.config")
    except UnicodeEncodeError:
        raise UnreadableDocument(source, 0, "data.config is not text") from None
    inner = documents[0].value if documents else None
    return inner, str(namespace or DEFAULT_NAMESPACE)


def _refused(field: str, message: str, hint: str = "") -> ConfigError:
    return ConfigError((Problem("ConfigMap", field, "", message, hint),))

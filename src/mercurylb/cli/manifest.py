"""JSON values to YAML that every reader of Kubernetes manifests takes for the same values."""

from __future__ import annotations

import re
from typing import Any, Final

import yaml

from mercurylb.cli.scalars import resolve

_BASE_60: Final = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?")
_DUMPER: Final[Any] = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class _Dumper(_DUMPER):  # type: ignore[misc] # of the two, whichever is there
    """Quotes what somebody could take for something else than text."""

    def ignore_aliases(self, _data: object) -> bool:
        """Write everything out: manifests have no anchors."""
        return True


def _represent_text(dumper: Any, text: str) -> yaml.ScalarNode:  # noqa: ANN401 (yaml's own)
    style = '"' if _is_ambiguous(dumper, text) else "|" if "\n" in text else None
    node: yaml.ScalarNode = dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)
    return node


def _is_ambiguous(dumper: Any, text: str) -> bool:  # noqa: ANN401 (as above)
    """Tell whether some reader could take a text for a number, a boolean, a time …"""
    if _BASE_60.fullmatch(text) or not isinstance(resolve(text, None, is_plain=True), str):
        return True
    tag: str = dumper.resolve(yaml.ScalarNode, text, (True, False))
    return not tag.endswith(":str")


_Dumper.add_representer(str, _represent_text)


def to_yaml(value: object) -> str:
    """Give one YAML document, keys in alphabetical order."""
    text: str = yaml.dump(value, Dumper=_Dumper, default_flow_style=False, allow_unicode=True)
    return text

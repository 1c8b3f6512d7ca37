"""Write the definitions in config/crd anew from the structs in src/mercurylb/api.

`--check` writes nothing and fails, naming the files, when one is not what it would be.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

from mercurylb.api.crd import crd
from mercurylb.api.definition import DEFINITIONS

FOLDER = Path(__file__).resolve().parent.parent / "config" / "crd"
HEADER = "# Made from the structs in src/mercurylb/api by scripts/crds.py: change those.\n"


class Dumper(yaml.SafeDumper):
    """YAML as people write it: lists indented, nothing abbreviated by an anchor."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 (the base class's signature)
        """Indent lists below their key."""
        super().increase_indent(flow, indentless=False)

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ANN401, ARG002 (the base class's signature)
        """Write every repetition out."""
        return True


def definitions() -> dict[str, str]:
    """Give the text of each file by its name."""
    return {
        f"{definition.plural}.yaml": HEADER
        + yaml.dump(crd(definition), Dumper=Dumper, sort_keys=False, width=100, allow_unicode=True)
        for definition in DEFINITIONS
    }


def differing() -> list[str]:
    """Give the names of files that are missing, not current, or nobody's."""
    wanted = definitions()
    found = {path.name: path.read_text() for path in FOLDER.glob("*.yaml")}
    return sorted(
        name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name)
    )


def main(arguments: list[str]) -> int:
    """Write the files, or say which are not current."""
    if "--check" in arguments:
        for name in differing():
            print(f"config/crd/{name} is not what scripts/crds.py makes of the structs")  # noqa: T201
        return 1 if differing() else 0
    for name, text in definitions().items():
        (FOLDER / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

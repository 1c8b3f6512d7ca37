"""The interfaces that layer 2 never touches: `/etc/metallb/excludel2.yaml` (spec: layer2 §5)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from mercurylb.config.problem import Problem
from mercurylb.errors import ConfigError

EXCLUSION_FILE: Final = Path("/etc/metallb/excludel2.yaml")
KEY: Final = "announcedInterfacesToExclude"


def parse_exclusions(text: str, *, source: str) -> tuple[re.Pattern[str], ...]:
    r"""Read the regular expressions; raise ConfigError naming every entry that is none.

    The expressions are Go's (RE2). Its syntax is a subset of Python's but for a few classes
    (`[[:alpha:]]`, `\\pL`), which are refused rather than understood differently.
    """
    import yaml  # noqa: PLC0415 (needed once at start; the file's absence is the common case)

    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError((_problem(source, "", text[:80], f"not YAML: {error}"),)) from error
    if document is None:
        return ()
    if not isinstance(document, dict):
        raise ConfigError((_problem(source, "", str(document)[:80], "must be a mapping"),))
    entries = document.get(KEY) or []
    if not isinstance(entries, list):
        raise ConfigError((_problem(source, KEY, str(entries)[:80], "must be a list"),))
    patterns: list[re.Pattern[str]] = []
    problems: list[Problem] = []
    for index, entry in enumerate(entries):
        try:
            patterns.append(_compile(entry))
        except (re.error, TypeError, ValueError, OverflowError, RecursionError) as error:
            message = f"not a regular expression: {error}"
            problems.append(_problem(source, f"{KEY}[{index}]", str(entry)[:80], message))
    if problems:
        raise ConfigError(tuple(problems))
    return tuple(patterns)


def load_exclusions(path: Path = EXCLUSION_FILE) -> tuple[re.Pattern[str], ...]:
    """Read the file; its absence excludes nothing. Raise ConfigError when it cannot be used."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        return ()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError((_problem(str(path), "", "", f"cannot be read: {error}"),)) from error
    return parse_exclusions(text, source=str(path))


def _compile(entry: object) -> re.Pattern[str]:
    if not isinstance(entry, str):
        raise TypeError("not a text")
    if "[[:" in entry or "\\p" in entry or "\\P" in entry:
        raise ValueError("character classes by name are not understood here, list the characters")
    return re.compile(entry)


def _problem(source: str, field: str, value: str, message: str) -> Problem:
    hint = f"give a list of regular expressions under {KEY}"
    return Problem(object=source, field=field, value=value, message=message, hint=hint)

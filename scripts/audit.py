"""Audit the lock files with pip-audit, and never call something sound that nobody has judged.

Exit status: 0 nothing is known against any package, 1 something is, 2 some could not be judged, as
without a network or with an index that has no such answers.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).resolve().parent.parent
IMAGE = "requirements-image.lock"
DEVELOPERS = "requirements.lock"


@dataclass(frozen=True)
class Verdict:
    """What was found out about the packages of one lock file."""

    sound: tuple[str, ...] = ()
    faulty: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    def status(self) -> int:
        """Return the exit status: a fault weighs more than not knowing."""
        if self.faulty:
            return 1
        return 2 if self.unknown or not self.sound else 0

    def lines(self, lock: str) -> list[str]:
        """Say it to a person."""
        told = [f"audit: {lock}: {len(self.sound)} sound, {len(self.faulty)} with known faults"]
        told += [f"audit:   {each}" for each in self.faulty]
        if self.unknown or not self.sound:
            told.append(
                f"audit:   {len(self.unknown)} could not be judged: the service does not answer "
                "for them; try again elsewhere, or with `-s osv`"
            )
        return told


def judge(text: str) -> Verdict:
    """Read what pip-audit writes as JSON."""
    sound, faulty, unknown = [], [], []
    for package in json.loads(text)["dependencies"]:
        name = package["name"]
        if "skip_reason" in package:
            unknown.append(name)
        elif package["vulns"]:
            ids = ", ".join(fault["id"] for fault in package["vulns"])
            better = ", ".join({it for fault in package["vulns"] for it in fault["fix_versions"]})
            faulty.append(f"{name} {package['version']}: {ids}; fixed in {better or 'no version'}")
        else:
            sound.append(name)
    return Verdict(tuple(sound), tuple(faulty), tuple(unknown))


def names(lock: Path) -> tuple[str, ...]:
    """Return what a lock file pins."""
    lines = lock.read_text().splitlines()
    return tuple(line.partition("==")[0] for line in lines if "==" in line)


def audit(lock: Path, words: Sequence[str]) -> Verdict:
    """Have one lock file audited."""
    argv = [str(ROOT / ".venv/bin/pip-audit"), "--disable-pip", "--require-hashes", "-f", "json"]
    argv += ["--progress-spinner", "off", "-r", str(lock), *words]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)  # noqa: S603 (ours)
    try:
        return judge(done.stdout)
    except ValueError:
        sys.stderr.write(done.stderr)
        return Verdict(unknown=names(lock))


def main() -> int:
    """Audit, tell, and return the exit status."""
    words = [word for word in sys.argv[1:] if word != "--all"]
    verdicts = []
    for name in (IMAGE, DEVELOPERS) if "--all" in sys.argv else (IMAGE,):
        sys.stderr.write(f"audit: asking about {len(names(ROOT / name))} packages of {name} …\n")
        verdicts.append(audit(ROOT / name, words))
        sys.stdout.write("\n".join([*verdicts[-1].lines(name), ""]))
    statuses = {verdict.status() for verdict in verdicts}
    return 1 if 1 in statuses else max(statuses)


if __name__ == "__main__":
    sys.exit(main())

"""Two controllers come to the same decisions, whatever the seed, the hash and the restarts.

``COMPARE_SEEDS=1-5000`` compares more; ``COMPARE_STEPS`` makes the scripts longer.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from lab.compare.command import Wanted, compare, parse_seeds, render, summary

if TYPE_CHECKING:
    from pathlib import Path

SEEDS = parse_seeds(os.environ.get("COMPARE_SEEDS", "1-200"))
STEPS = int(os.environ.get("COMPARE_STEPS", "10"))

pytestmark = [pytest.mark.lab, pytest.mark.timeout(max(1200, 6 * len(SEEDS)))]

OTHERWISE = """#!{python}
import sys

import msgspec.structs

from mercurylb.config import compilation

compiled = compilation.compile_config


def compile_backwards(resources):
    pools = tuple(
        msgspec.structs.replace(
            pool, spec=msgspec.structs.replace(pool.spec, addresses=pool.spec.addresses[::-1])
        )
        for pool in resources.pools
    )
    return compiled(msgspec.structs.replace(resources, pools=pools))


compilation.compile_config = compile_backwards

from mercurylb.controller.__main__ import main

sys.exit(main())
"""


def _name(letter: str) -> str:
    if os.geteuid() != 0:
        pytest.skip("a lab needs root: it makes network namespaces")
    return f"{letter}{os.environ.get('PYTEST_XDIST_WORKER', '')}{os.getpid()}"


def test_the_same_objects_lead_to_the_same_decisions() -> None:
    """Neither the order of a hash, nor a restart, nor the moment reaches a decision."""
    report = compare(Wanted(seeds=SEEDS, steps=STEPS, restarts=("b",)), _name("d"))
    told = "\n\n".join(render(about, failed) for about, failed in report.failed.items())
    assert not report.failed, told
    assert report.played == len(SEEDS)
    assert report.notes == [], summary(report)


def test_a_controller_that_decides_otherwise_is_found(tmp_path: Path) -> None:
    """One that takes a pool's ranges backwards is told apart, in few steps."""
    program = tmp_path / "controller"
    program.write_text(OTHERWISE.format(python=sys.executable))
    program.chmod(0o755)
    wanted = Wanted(
        seeds=range(1, 60), controllers=("own", str(program)), restarts=(), shrinks=True
    )
    report = compare(wanted, _name("o"))
    assert report.failed, summary(report)
    for about, failed in report.failed.items():
        told = render(about, failed)
        assert ": addresses\n" in told, told
        assert failed.played <= 4, told

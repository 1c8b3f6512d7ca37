"""One target, fuzzed in a process of its own until its time is up or something is found.

libFuzzer ends the process itself: with status 0 when the time is up, with another one and a file
whose name begins with the given prefix when something came out of the target.
"""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fuzz.targets import Target

INPUT_SIZE_MAX = 4096
CALL_TIMEOUT_S = 10
MEMORY_MAX_MB = 1024
CRASHED = 77


def run_guided(name: str, seconds: int, corpus: Path, prefix: Path) -> None:
    """Run atheris, which does not return."""
    import atheris  # noqa: PLC0415 (must come before what it is to watch)

    with atheris.instrument_imports(include=["mercurylb"]):
        from tests.fuzz.targets import TARGETS  # noqa: PLC0415 (instrumented while imported)

    sow(TARGETS[name], corpus)
    options = [
        f"-max_total_time={seconds}",
        f"-artifact_prefix={prefix}/",
        f"-max_len={INPUT_SIZE_MAX}",
        f"-timeout={CALL_TIMEOUT_S}",
        f"-rss_limit_mb={MEMORY_MAX_MB}",
        "-print_final_stats=1",
    ]
    atheris.Setup([sys.argv[0], *options, str(corpus)], TARGETS[name].run)
    atheris.Fuzz()


def run_random(name: str, seconds: int, corpus: Path, prefix: Path) -> int:
    """Run hypothesis on spoiled seeds; return the exit status."""
    from tests.fuzz.targets import TARGETS  # noqa: PLC0415 (the other way needs it late)

    target = TARGETS[name]
    sow(target, corpus)
    seeds = [path.read_bytes() for path in sorted(corpus.iterdir())]
    until, executions = time.monotonic() + seconds, 0

    @settings(
        max_examples=2_000,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(received=spoiled(seeds))
    def attempt(received: bytes) -> None:
        nonlocal executions
        executions += 1
        try:
            target.run(received)
        except BaseException:
            (prefix / "crash-hypothesis").write_bytes(received)
            raise

    while time.monotonic() < until:
        try:
            attempt()
        except Exception as error:  # noqa: BLE001 (whatever it is, it is what we look for)
            print(f"{type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201
            return CRASHED
    print(f"stat::number_of_executed_units: {executions}", file=sys.stderr)  # noqa: T201
    return 0


@st.composite
def spoiled(draw: Callable[..., Any], seeds: list[bytes]) -> bytes:
    """Draw bytes that are nearly a seed, or any."""
    spoilt = bytearray(draw(st.sampled_from([*seeds, b""])))
    for _ in range(draw(st.integers(0, 4)) if spoilt else 0):
        spoilt[draw(st.integers(0, len(spoilt) - 1))] = draw(st.integers(0, 255))
    return bytes(spoilt[: draw(st.integers(0, len(spoilt)))]) + draw(st.binary(max_size=40))


def sow(target: Target, corpus: Path) -> None:
    """Put the seeds where the fuzzer begins."""
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds):
        (corpus / f"seed-{number}").write_bytes(seed)


def main() -> int:
    """Run what the command line says: way, target, seconds, corpus, prefix of found files."""
    way, name, seconds, corpus, prefix = sys.argv[1:]
    run = run_guided if way == "atheris" else run_random
    with contextlib.suppress(KeyboardInterrupt):
        return run(name, int(seconds), Path(corpus), Path(prefix)) or 0
    return 0


if __name__ == "__main__":
    sys.exit(main())

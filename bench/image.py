"""The image: its size, and the time from the start of its containers until they watch.

A container's time begins when the runtime is told to start it and ends with the line in which the
program says that every list was read: from there on it watches. Each is started a few times, the
first start does not count (pages of the image come from disk then), and the median is told, beside
the CPU time that runtime and programs took until then, which says the same on a busy machine.
"""

from __future__ import annotations

import datetime as dt
import statistics
from typing import TYPE_CHECKING, Final

from bench import stage
from lab import container, imagefile, images
from lab.container import Container
from lab.process import all_stats
from lab.programs import CONTROLLER_POD, SECRET

if TYPE_CHECKING:
    from lab.light import LightLab
    from lab.process import Process

SCENARIO: Final = "image"
ROUNDS: Final = 5
_NODE: Final = "n1"


def measure(rounds: int = ROUNDS) -> dict[str, float]:
    """Measure size and start."""
    found = {"image_mb": imagefile.size_mb(images.our_image().layers)}
    with stage.start(stage.Pair("ours"), nodes=1, proxy_mode="nftables") as lab:
        env = lab.speaker(_NODE).record.spec.env or {}
        own = {key: value for key, value in env.items() if key.startswith("METALLB_")}
        lab.speaker(_NODE).stop()
        lab.controller.stop()
        secret = own["METALLB_ML_SECRET_KEY_PATH"]
        speaker = Container(
            ("/usr/bin/mercurylb-speaker",),
            env=own,
            capabilities=("NET_RAW",),
            account="metallb-speaker",
            mounts={secret: secret},
        )
        controller = Container(
            ("/usr/bin/mercurylb-controller", "--webhook-mode=disabled"),
            env={"METALLB_POD_NAME": CONTROLLER_POD, "METALLB_ML_SECRET_NAME": SECRET},
            user=65534,
            account="metallb-controller",
        )
        for name, host, made in (("controller", "cp", controller), ("speaker", _NODE, speaker)):
            starts = [_start(lab, name, host, made) for _ in range(rounds + 1)][1:]
            found[f"image_{name}_start_s"] = statistics.median(took for took, _ in starts)
            found[f"image_{name}_start_max_s"] = max(took for took, _ in starts)
            found[f"image_{name}_start_cpu_s"] = statistics.median(cpu for _, cpu in starts)
    return found


def _start(lab: LightLab, name: str, host: str, made: Container) -> tuple[float, float]:
    """Start a container, wait until it watches, end it; return the time it took, and CPU time."""
    process = lab.host(host).start(f"container-{name}", [str(container.prepare(lab, name, made))])
    wanted = f"{name}.caches_filled"
    try:
        lab.wait_for(lambda: wanted in process.log(), timeout_s=60, what=wanted)
        return seconds(process, wanted), cpu_s(process.pid)
    finally:
        process.stop()
        process.discard()


def seconds(process: Process, wanted: str) -> float:
    """Read from a log how long it took from the runtime's start to an event."""
    lines = process.lines()
    begin = next(line["started_s"] for line in lines if line["event"] == container.STARTED)
    return moment(next(line["ts"] for line in lines if line["event"] == wanted)) - float(begin)


def cpu_s(pid: int) -> float:
    """Return the CPU time of a process and of all that descend from it."""
    known = all_stats()
    family = {pid}
    while more := {stat.pid for stat in known if stat.parent in family} - family:
        family |= more
    return sum(stat.cpu_s for stat in known if stat.pid in family)


def moment(text: str) -> float:
    """Return a log's time stamp in seconds since 1970."""
    return dt.datetime.fromisoformat(text).timestamp()

"""Many routes to many routers: time, messages, CPU and memory of one announcer, and of GoBGP.

Two namespaces and one cable: the source here, there a sink with as many addresses as sessions are
wanted.  The source has all routes before the sink is there to be called.  The time runs from when
the last session was seen established until every session has all; it is as exact as the sinks can
be asked, 5 ms for one and 50 ms for sixteen.
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import msgspec

from bench.bgp_daemons import Bird, Frr, Gobgp, Sink, prepare
from bench.bgp_source import SINK_ASN, SOURCE_ASN, Seen, Wish
from bench.bgp_watch import SECONDS_MAX
from bench.figures import percentile
from lab import binaries, hogs, netns, progress
from lab.errors import LabError
from lab.observe.watch import urgent_argv
from lab.process import pss_bytes, read_stat
from lab.router import give
from lab.site import Settings, Site, clear

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from lab.process import Process

SCENARIO: Final = "bgp-scale"
BFD: Final = "bgp-bfd"
SIZES: Final = (10_000, 100_000)
MANY: Final = 16
SOURCE: Final = "10.200.0.100"
HOGS: Final = 40
BFD_MS: Final = 50
WITHIN_S: Final = 180.0
_MB: Final = 1_000_000
_POLL_S: Final = 0.005

Figures = dict[str, float]


def sinks(count: int) -> list[str]:
    """Return the addresses of the sink."""
    return [f"10.200.0.{i + 1}" for i in range(count)]


@contextmanager
def cable() -> Iterator[Site]:
    """Give two namespaces, `src` and `dst`, and a cable between them."""
    prepare()
    site = Site.create(Settings(f"bgp{os.getpid()}", "light", 0), owned=True)
    try:
        names = {host: site.plan.namespace(host) for host in ("src", "dst")}
        for name in names.values():
            netns.create(name)
            netns.ip(name, "link", "set", "lo", "up")
        netns.ip(names["src"], *f"link add eth0 type veth peer eth0 netns {names['dst']}".split())
        netns.ip_batch(names["src"], ["link set eth0 up", f"addr add {SOURCE}/24 dev eth0"])
        lines = ["link set eth0 up", *(f"addr add {a}/24 dev eth0" for a in sinks(MANY))]
        netns.ip_batch(names["dst"], lines)
        yield site
    finally:
        clear(site.name)


@contextmanager
def switch() -> Iterator[Site]:
    """Give the source and a namespace for each of the sinks, all on one bridge."""
    prepare()
    site = Site.create(Settings(f"bfd{os.getpid()}", "light", 0), owned=True)
    try:
        lan = site.plan.lan
        netns.create(lan)
        netns.ip_batch(lan, ["link add br0 type bridge stp_state 0", "link set br0 up"])
        for host, address in (("src", SOURCE), *_sink_hosts()):
            name = site.plan.namespace(host)
            netns.create(name)
            netns.ip(name, "link", "set", "lo", "up")
            lines = [f"link add {host} type veth peer eth0 netns {name}"]
            netns.ip_batch(lan, [*lines, f"link set {host} master br0 up"])
            netns.ip_batch(name, ["link set eth0 up", f"addr add {address}/24 dev eth0"])
        yield site
    finally:
        clear(site.name)


def _sink_hosts() -> list[tuple[str, str]]:
    return [(f"r{i}", address) for i, address in enumerate(sinks(MANY), 1)]


class Ours:
    """An announcer with a scripted brain."""

    name = "ours"

    def __init__(self, site: Site) -> None:
        self._site = site
        self._file = site.folder("source") / "wish.json"
        self._process: Process | None = None

    def start(self, wish: Wish) -> None:
        """Let it want something, and wait until it knows."""
        self._file.with_suffix(".seen").unlink(missing_ok=True)
        self.want(wish)
        argv = binaries.helper_argv("bench.bgp_source", str(self._file))
        self._process = self._site.start("source", "src", argv, env=binaries.helper_env())
        until(lambda: len(self.seen().sessions) == len(wish.peers), "the announcer knows")

    def want(self, wish: Wish) -> None:
        """Change what it wants."""
        fresh = self._file.with_suffix(".new")
        fresh.write_bytes(msgspec.json.encode(wish))
        fresh.rename(self._file)

    def seen(self) -> Seen:
        """Return what it told last."""
        file = self._file.with_suffix(".seen")
        if not file.exists():
            return Seen(0, (), (), "")
        return msgspec.json.decode(file.read_bytes(), type=Seen)

    @property
    def pid(self) -> int:
        """The announcer's process."""
        return self._process.pid if self._process else 0

    def updates(self) -> int:
        """Return how many UPDATEs one session took, at most."""
        return max(session.counts.updates_sent for session in self.seen().sessions)

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.kill()
            self._site.processes.forget(self._process.name)


class Baseline:
    """GoBGP as source."""

    name = "gobgp"

    def __init__(self, site: Site) -> None:
        self._site = site
        self._daemon: Gobgp | None = None

    def start(self, wish: Wish) -> None:
        """Fill its table."""
        made = Gobgp(
            self._site,
            "src",
            SOURCE,
            wish.peers,
            asn=SOURCE_ASN,
            peer_asn=SINK_ASN,
            is_passive=True,
        )
        made.start()
        self._daemon = made
        until(lambda: _answers(made), "gobgpd")
        made.fill(wish.prefixes)

    @property
    def pid(self) -> int:
        """Its process."""
        return self._daemon.process.pid if self._daemon and self._daemon.process else 0

    def updates(self) -> int:
        """Return how many UPDATEs one session took, at most."""
        return max(self._daemon.updates("sent")) if self._daemon else 0

    def stop(self) -> None:
        """End it."""
        if self._daemon is not None:
            self._daemon.stop()


def measure(sizes: Sequence[int] = SIZES) -> Figures:
    """Measure all sizes and sinks, and the memory."""
    found: Figures = {}
    with cable() as site:
        for size in sizes:
            for count in (1, MANY):
                for source in (Ours(site), Baseline(site)):
                    key = f"bgp_{source.name}_{size // 1000}k_{count}"
                    calls = source.name == "gobgp"
                    sink = Bird(site, "dst", sinks(count), SOURCE, calls=calls)
                    told = transfer(source, sink, size, count)
                    found |= {f"{key}_{name}": value for name, value in told.items()}
            for other in (Frr(site, "dst", sinks(1)[0], SOURCE), _gobgp_sink(site)):
                told = transfer(Ours(site), other, size, 1)
                key = f"bgp_ours_{size // 1000}k_to_{other.name.lower()}"
                found[f"{key}_s"] = told["s"]
        found |= memory(site)
    return found


def _gobgp_sink(site: Site) -> Gobgp:
    return Gobgp(site, "dst", sinks(1)[0], [SOURCE])


def transfer(source: Ours | Baseline, sink: Sink, size: int, count: int) -> Figures:
    """Let a source send its routes to a sink; return what it took."""
    with progress.step(f"{size} routes of {source.name} to {count} x {sink.name}"):
        source.start(Wish(tuple(sinks(count)), size))
        try:
            return _timed(source, sink, size, count)
        finally:
            source.stop()


def _timed(source: Ours | Baseline, sink: Sink, size: int, count: int) -> Figures:
    settle_cpu(source.pid)
    before = _cpu(source.pid)
    sink.start()
    try:
        last = 0.0

        def has_all() -> bool:
            nonlocal last
            now, seen = time.monotonic(), sink.counts()
            if len(seen) == count and not last:
                last = now
            return len(seen) == count and min(seen) >= size

        until(has_all, f"{size} routes at {sink.name}", WITHIN_S)
        found = {"s": time.monotonic() - last, "cpu_s": _cpu(source.pid) - before}
        time.sleep(1.0)  # For what the source tells of itself.
        found["updates"] = float(source.updates())
        found["rss_mb"] = _rss_mb(source.pid)
        return found
    finally:
        sink.stop()


def memory(site: Site) -> Figures:
    """Hold 10 000 routes at 2 peers, and weigh the announcer."""
    size, source = SIZES[0], Ours(site)
    with progress.step(f"memory with {size} routes at 2 peers"):
        source.start(Wish(tuple(sinks(2)), 0))
        empty = pss_bytes(source.pid) / _MB
        source.want(Wish(tuple(sinks(2)), size))
        sink = Bird(site, "dst", sinks(2), SOURCE)
        sink.start()
        try:
            until(lambda: (seen := sink.counts()) and seen == [size, size], "all routes")
            time.sleep(3.0)
            found = {
                "bgp_memory_pss_mb": pss_bytes(source.pid) / _MB,
                "bgp_memory_rss_mb": _rss_mb(source.pid),
                "bgp_memory_empty_pss_mb": empty,
            }
            found |= _one_more(source, sink, size)
        finally:
            sink.stop()
            source.stop()
    return found


def _one_more(source: Ours, sink: Sink, size: int) -> Figures:
    """Add routes one by one; each time the brain sends the whole state anew."""

    def add(count: int) -> float:
        begin = time.monotonic()
        source.want(Wish(tuple(sinks(2)), count))
        until(lambda: min(sink.counts(), default=0) == count, "one more", interval_s=0.002)
        return (time.monotonic() - begin) * 1000

    waits = [add(size + i) for i in range(1, 11)]
    return {"bgp_one_more_p50_ms": percentile(waits, 0.5)}


def detect(seconds: float) -> Figures:
    """Let 16 routers watch an announcer by BFD while the machine has no time for it."""
    found: Figures = {}
    with switch() as site, progress.step(f"BFD with {MANY} peers, {HOGS} hogs for {seconds:g} s"):
        routers = BfdRouters(site)
        routers.start()
        source = Ours(site)
        source.start(Wish(tuple(sinks(MANY)), 10, BFD_MS))
        until(lambda: routers.up() == MANY, "BFD up at all peers", 60.0)
        time.sleep(3.0)
        found["bgp_bfd_idle_cpu_percent"] = _cpu_percent(source.pid, 5.0)
        watcher = _watch(site, seconds)
        before, begin = routers.downs(), sum(r.down_count for r in source.seen().bfd)
        with hogs.hogs(site, HOGS, seconds + 30):
            time.sleep(seconds)
            up = routers.up()
        told = watcher.log().splitlines()
        time.sleep(1.0)
        found["bgp_bfd_seconds"] = seconds
        found["bgp_bfd_false_downs"] = float(routers.downs() - before)
        found["bgp_bfd_own_downs"] = float(sum(r.down_count for r in source.seen().bfd) - begin)
        found["bgp_bfd_up_at_end"] = float(up)
        gaps = [msgspec.json.decode(line) for line in told if line.startswith("{")]
        if gaps:
            found["bgp_bfd_longest_gap_ms"] = float(gaps[-1]["longest_ms"])
        source.stop()
    return found


class BfdRouters:
    """FRR's bfdd on sixteen machines, each before ordinary processes."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def start(self) -> None:
        """Write the configurations and start zebra and bfdd everywhere."""
        for host, _ in _sink_hosts():
            folder = self._site.folder("bfd", host)
            lines = ["bfd", " profile p", "  detect-multiplier 3"]
            lines += [f"  receive-interval {BFD_MS}", f"  transmit-interval {BFD_MS}", " exit"]
            lines += [f" peer {SOURCE} interface eth0", "  profile p", " exit", "exit", ""]
            (folder / "frr.conf").write_text("\n".join(lines))
            (folder / "vtysh.conf").write_text("no service integrated-vtysh-config\n")
            give(folder)
            for daemon in ("zebra", "bfdd"):
                argv = [*urgent_argv(), f"/usr/lib/frr/{daemon}", "-f", f"{folder}/frr.conf"]
                argv += ["-i", f"{folder}/{daemon}.pid", "-z", f"{folder}/zserv.api", "-P", "0"]
                argv += ["--vty_socket", str(folder)]
                argv += ["--bfdctl", f"{folder}/bfdd.sock"] if daemon == "bfdd" else []
                self._site.start(f"{daemon}-{host}", host, argv)
                until((folder / f"{daemon}.vty").exists, f"{daemon} on {host}")

    def up(self) -> int:
        """Count the sessions that are up."""
        return sum(peer.get("status") == "up" for peer in self._ask("show bfd peers json"))

    def downs(self) -> int:
        """Count how often any session went down."""
        told = self._ask("show bfd peers counters json")
        return sum(int(peer.get("session-down", 0)) for peer in told)

    def _ask(self, command: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for host, _ in _sink_hosts():
            folder = str(self._site.folder("bfd", host))
            argv = ["/usr/bin/vtysh", "--vty_socket", folder, "--config_dir", folder]
            done = netns.command([*urgent_argv(), *argv, "-c", command], check=False)
            try:
                found += msgspec.json.decode(done.stdout, type=list[dict[str, Any]])
            except msgspec.DecodeError:
                continue
        return found


def _watch(site: Site, seconds: float) -> Process:
    words = ["src", SOURCE, str(min(seconds, SECONDS_MAX))]
    argv = [*urgent_argv(), *binaries.helper_argv("bench.bfd_watch", *words)]
    return site.start("bfd-watch", "lan", argv, env=binaries.helper_env())


def _answers(daemon: Gobgp) -> bool:
    try:
        daemon.ask("global")
    except LabError:
        return False
    return True


def until(
    condition: Callable[[], object],
    what: str,
    timeout_s: float = 60.0,
    *,
    interval_s: float = _POLL_S,
) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {timeout_s:g} s")
        time.sleep(interval_s)


def settle_cpu(pid: int) -> None:
    """Wait until a process has done what it had to do: less than 5 % of a core for a while."""
    deadline = time.monotonic() + 60.0
    while _cpu_percent(pid, 0.5) > 5.0 and time.monotonic() < deadline:
        continue


def _cpu(pid: int) -> float:
    stat = read_stat(pid)
    return stat.cpu_s if stat else 0.0


def _cpu_percent(pid: int, seconds: float) -> float:
    before, begin = _cpu(pid), time.monotonic()
    time.sleep(seconds)
    return 100 * (_cpu(pid) - before) / (time.monotonic() - begin)


def _rss_mb(pid: int) -> float:
    stat = read_stat(pid)
    return stat.rss_bytes / _MB if stat else 0.0

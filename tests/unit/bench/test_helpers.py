"""What runs inside the lab, as far as it can be tried without one."""

from __future__ import annotations

import json

from bench.flood import reply_filter
from bench.load import address_of, many, status_patch
from bench.many import parse_writes
from bench.scenarios import caches_filled
from lab.observe import frames
from mercurylb.allocator.book import Book
from mercurylb.api.meta import ObjectMeta
from mercurylb.api.service import Service, ServiceSpec
from mercurylb.config.model import Pool
from mercurylb.plan.service import plan_service
from mercurylb.values.prefix import parse_prefix

MAC = "02:00:00:00:00:01"


def run_filter(program: list[tuple[int, int, int, int]], frame: bytes) -> int:
    """Interpret the few instructions of classic BPF that the filter uses."""
    at = accumulator = 0
    while True:
        code, if_true, if_false, k = program[at]
        at += 1
        if code == 0x28:
            accumulator = int.from_bytes(frame[k : k + 2], "big")
        elif code == 0x20:
            accumulator = int.from_bytes(frame[k : k + 4], "big")
        elif code == 0x15:
            at += if_true if accumulator == k else if_false
        else:
            return k


def test_filter_passes_replies_for_the_address_only() -> None:
    """Requests, other addresses and other protocols are not counted as answers."""
    program = reply_filter("192.168.111.20")
    request = frames.arp_request(MAC, "192.168.111.20", "192.168.111.20")
    reply = request[:20] + b"\x00\x02" + request[22:]
    other = reply[:28] + bytes([192, 168, 111, 21]) + reply[32:]
    ipv6 = reply[:12] + b"\x86\xdd" + reply[14:]
    assert [run_filter(program, frame) for frame in (reply, request, other, ipv6)] == [64, 0, 0, 0]


def test_patches_differ_in_address_and_are_read_back() -> None:
    """The bare loop writes a thousand different addresses."""
    patches = [status_patch("7", i) for i in range(1000)]
    assert len({address_of(patch) for patch in patches}) == 1000
    assert address_of({"status": {"loadBalancer": {}}}) == ""


async def test_many_carries_out_each_action_once() -> None:
    """More actions than workers, all done."""
    done: list[int] = []

    async def action(i: int) -> None:
        done.append(i)

    await many(lambda i=i: action(i) for i in range(100))
    assert sorted(done) == list(range(100))


def test_time_of_filled_caches_is_read_from_the_log() -> None:
    """The log's wall clock becomes the monotonic clock; other programs' logs say nothing."""
    log = 'x\n{"event":"controller.caches_filled","ts":"1970-01-01T00:01:40.250Z"}\n'
    assert caches_filled(log, 40.0) == 60.25
    assert caches_filled("started\n", 40.0) is None


def test_the_bare_loop_writes_as_much_as_the_controller() -> None:
    """The two patches of one service differ by a few bytes of names only."""
    metadata = ObjectMeta(name="bench-0007", namespace="default", resource_version="12345")
    spec = ServiceSpec(type="LoadBalancer", cluster_ip="10.96.0.7", cluster_ips=("10.96.0.7",))
    book = Book()
    book.set_pools([Pool("bench", (parse_prefix("10.81.0.0/16"),))])
    patch = plan_service(Service(metadata, spec), book=book).patch
    assert patch is not None
    bare = json.dumps(status_patch("12345", 7), separators=(",", ":"))
    assert abs(len(patch.body) - len(bare)) <= 8
    ours, theirs = json.loads(patch.body), json.loads(bare)
    assert ours["status"].keys() == theirs["status"].keys()
    assert ours["metadata"].keys() == theirs["metadata"].keys()


def test_writes_are_counted_by_resource() -> None:
    """Reads, dry runs, leases and reviews are no writes; the API server's own words."""
    line = 'apiserver_request_total{{code="200",dry_run="{dry}",group="",resource="{what}",subresource="{sub}",verb="{verb}",version="v1"}} {count}'  # noqa: E501
    text = "\n".join(
        line.format(dry=dry, what=what, sub=sub, verb=verb, count=count)
        for dry, what, sub, verb, count in (
            ("", "services", "status", "PATCH", 12),
            ("", "services", "status", "PUT", 3),
            ("", "services", "", "POST", 1),
            ("", "services", "", "LIST", 99),
            ("All", "services", "", "POST", 99),
            ("", "leases", "", "PUT", 99),
            ("", "events", "", "POST", "1e+06"),
        )
    )
    assert parse_writes(text) == {"services/status": 15, "services": 1, "events": 1_000_000}

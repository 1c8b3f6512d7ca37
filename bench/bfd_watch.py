"""Watch the BFD packets of one sender and tell the longest gap; runs inside a lab.

``python -m bench.bfd_watch INTERFACE SENDER SECONDS``

Each receiving address is a session of its own.  Moments are the kernel's.  The last line of output
is ``{"longest_ms", "packets", "sessions"}``.
"""

from __future__ import annotations

import json
import select
import socket
import struct
import sys
import time
from typing import Final

PORT: Final = 3784
SECONDS_MAX: Final = 600.0
_SO_TIMESTAMPNS: Final = 35
_STAMP: Final = struct.Struct("qq")
_ETH_P_ALL: Final = 3
_IPV4: Final = b"\x08\x00"


def main() -> None:
    """Look for a while, and tell."""
    interface, sender = sys.argv[1], socket.inet_aton(sys.argv[2])
    seconds = min(float(sys.argv[3]), SECONDS_MAX)
    # A bridge takes a port's frames before sockets of a single protocol would see them.
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
    raw.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    raw.bind((interface, _ETH_P_ALL))
    last: dict[bytes, float] = {}
    longest, packets, told, end = 0.0, 0, 0.0, time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if not select.select([raw], [], [], left)[0]:
            break
        frame, extra, _, _ = raw.recvmsg(2048, 256)
        at = 14 + (frame[14] & 0xF) * 4
        is_bfd = frame[23] == socket.IPPROTO_UDP and frame[at + 2 : at + 4] == PORT.to_bytes(2)
        if frame[12:14] != _IPV4 or frame[26:30] != sender or not is_bfd:
            continue
        whole, nanos = _STAMP.unpack_from(extra[0][2])
        moment, target = whole + nanos / 1e9, frame[30:34]
        longest = max(longest, moment - last.get(target, moment))
        last[target], packets = moment, packets + 1
        if moment > told + 1.0:
            told = moment
            line = {"longest_ms": longest * 1000, "packets": packets, "sessions": len(last)}
            sys.stdout.write(json.dumps(line) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()

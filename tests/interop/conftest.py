"""A network of its own for the tests that talk to the original library.

Everything runs on loopback addresses inside one network namespace, so that nothing leaves the
machine and connections can be cut by packet filter rules.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from lab import netns
from tests.interop.programs import ensure_gossip

if TYPE_CHECKING:
    from collections.abc import Iterator


IPV6 = ("fd00::1", "fd00::2")
"""IPv4 has a whole network of loopback addresses, IPv6 does not."""


@pytest.fixture(scope="session")
def network() -> Iterator[str]:
    """Make a namespace with a loopback; give its name."""
    if os.geteuid() != 0:
        pytest.skip("it needs root: it makes a network namespace")
    ensure_gossip()
    name = f"mlb-gossip-{os.getpid()}"
    netns.create(name)
    try:
        netns.ip(name, "link", "set", "lo", "up")
        for address in IPV6:
            netns.ip(name, "address", "add", f"{address}/128", "dev", "lo", "nodad")
        yield name
    finally:
        netns.delete(name)


@pytest.fixture
def inside(network: str) -> Iterator[str]:
    """Run the test, and the programs that it starts, inside the namespace; give its name."""
    with netns.inside(network):
        yield network
    netns.nft(network, "flush ruleset")

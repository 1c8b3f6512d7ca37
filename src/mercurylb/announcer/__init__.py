"""The wire process of a speaker: owns every socket towards the network, knows no Kubernetes.

It is the parent of the brain. `run` forks the brain before its own event loop starts, so that both
share the pages of what they import in common, and forks it again when it dies; the wire does not
notice. What the brain wants arrives as `plan.desired.DesiredState` over a socket pair, what the
announcer sees goes back as `plan.desired.Observation`.

::

    links, frames ──► AnnouncerCore ──► frames, group joins, kernel filters
    datagrams ──────►   │   ▲       ──► datagrams, exchanges, questions to kernels
    connections ────►   │   │
    brain ──────────────┘   └─ one timer

`core` composes the machines of `membership` and `layer2` without I/O, so that a whole cluster of
announcers runs in one simulation; `note` and `notebook` are what members say about themselves,
`observing` what the brain is told. `wire` performs the effects on real sockets, of which `gossip`
has the membership's and `ports` the interfaces'. `process` is about forking, signals and
scheduling, `outlet` about log lines that must not make anybody wait.
"""

from mercurylb.announcer.process import run
from mercurylb.announcer.settings import AnnouncerSettings, MembershipSettings

__all__ = ["AnnouncerSettings", "MembershipSettings", "run"]

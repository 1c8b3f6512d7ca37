"""The phases of a node's life among the members.

::

    idle ──ready──► learning ──► joining ──► up ──stop──► leaving ──► left
      ▲              who lives?   tell them   │
      └───────────not ready any more──────────┘

* **Idle**: nothing is sent; our own announcers are told, if they ask, that this process is new.
* **Learning**: the listed peers are asked for what they know, without telling them of us. So when
  this node becomes alive it knows exactly what it owns, answers for it first, and tells the others
  afterwards: make before break.
* **Joining, up**: alive, unless `isolation` says otherwise. While joining, whoever was said to live
  is presumed to, until all have answered.
* **Leaving**: we go on answering until everybody of ours has acted on it.
"""

from __future__ import annotations

import enum


class Phase(enum.Enum):
    """Where in its life this node is."""

    IDLE = "idle"
    LEARNING = "learning"
    JOINING = "joining"
    UP = "up"
    LEAVING = "leaving"
    LEFT = "left"


ACTIVE = (Phase.JOINING, Phase.UP)
JOINED = (*ACTIVE, Phase.LEAVING)

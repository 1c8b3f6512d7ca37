"""How long to wait before the next try: exponential, with full jitter.

Full jitter (a uniform draw between nothing and the ceiling) spreads many nodes that lost the same
API server better than a fixed share; the first retry is quick because most breaks are a restart of
one of several API servers.

The ceiling is a trade. A server that is back is noticed within the ceiling, and a new service waits
for it. On the other hand every process tries twice per ceiling on average while the server is away
(a refused connection, which costs the machine next to nothing), and all of them come back within
one ceiling of its return: 1 000 speakers with a dozen watches each over 1.2 s are 10 000
connections a second. So the one controller, for whom somebody waits, uses the shorter
`CONTROLLER_CAP_S`, and the many speakers leave it the first moment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

BASE_S = 0.05
CAP_S = 1.2
CONTROLLER_CAP_S = 0.4
"""An API server that is back is asked within this time: a pending service waits for it."""
DENIED_CAP_S = 5.0
"""For answers that a person or a rollout has to change (401, 403, 404): asking costs the server."""
_EXPONENT_MAX = 16


class Backoff:
    """The waiting times of one thing that is retried."""

    def __init__(self, random: Random, *, base_s: float = BASE_S) -> None:
        self._random = random
        self._base_s = base_s
        self.failure_count = 0

    def next_delay_s(self, *, cap_s: float = CAP_S) -> float:
        """Count a failure and give how long to wait after it."""
        ceiling_s = min(cap_s, self._base_s * 2.0**self.failure_count)
        self.failure_count = min(self.failure_count + 1, _EXPONENT_MAX)
        return self._random.uniform(0.0, ceiling_s)

    def reset(self) -> None:
        """Forget the failures: it worked."""
        self.failure_count = 0

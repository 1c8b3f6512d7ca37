"""Failover, tried and measured: break something, see who answers, mend it, judge what was seen.

`scenario` names what can be broken and how; `stage` lets the observers run and performs rounds;
`judge` turns the observers' lines of one round into figures and is pure.  The service under test
has one address of each family and no endpoint on its first node: what moves is the address alone.
"""

from lab.failover.judge import Figures
from lab.failover.scenario import SCENARIOS, Scenario
from lab.failover.stage import Stage

__all__ = ["SCENARIOS", "Figures", "Scenario", "Stage"]

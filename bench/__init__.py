"""Speed and memory, measured on light labs: `python -m bench` prints one table and writes JSON.

Each scenario brings a lab up, measures, and takes it down.  The same scenarios run with any pair of
programs that takes MetalLB 0.16's flags, so a figure is a ratio between two pairs, or between our
programs and a bare loop, on the same machine in the same minutes.  Where no second pair is given,
figures measured elsewhere stand in its place, and the table says so.

`figures` and `table` are pure.  `load` and `flood` run inside the lab's namespaces, as processes of
the lab, for a bounded time; nothing is left behind.
"""

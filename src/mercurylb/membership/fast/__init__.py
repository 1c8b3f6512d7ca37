"""The fast failure detector between our own announcers: silence, then evidence, then a verdict.

Members are found by SWIM; who of them is one of ours says its metadata. Each is watched by a few
others (`ring`), which expect a beat from it ten times a second::

    beats ───silence > 2 intervals───► question ───nothing answers anybody───► verdict
      ▲                                  │    │                                  │ told directly
      │ heard, by us or another observer │    │ its kernel answers: wait longer  ▼ to everybody
      └──────────────────────────────────┘    └─ or says that nobody listens: now

`detector` is the machine, `question` and `patience` are how it judges, `contact` is what it knows
of one other node, `codec` is the datagram. Nothing here does I/O or reads a clock.

It does not decide who is a member, nor what a verdict means: `membership.combined` does.
"""

"""Two controllers, one stream of random objects: do they come to the same decisions?

``python -m lab compare`` brings one light lab up and lets two controllers live in it side by side,
each in a *universe* of its own: its own namespaces and its own load balancer class, but the same
pools with the same addresses.  A seed becomes a script of steps; each step is played in both
universes, both are awaited, and what is to be seen there (statuses, counters, configuration states,
in the end events) must be equal.

`script` says what a step is, `author` writes scripts (with `world`, `draws`, `pool_author`,
`service_author` and `mistake_author`), `universe` translates between them and a controller's world,
`live` keeps a copy of what the API server says, `view` draws the comparable picture, `deviations`
names what may differ from another program, `stage` brings everything up, `play` plays one script,
`shrink` makes a failing one short, `command` is the verb.
"""

"""Which address a service gets: the allocation book and its rules.

The book is the only memory of who holds what; it is rebuilt at each start by adopting what the
services' statuses say. Every allocation passes one gate (`Book.assign`). Expected failures are
values (`Refusal`) with a reason and the sentence an operator reads, not exceptions.

Invariants (`Book.validate`): a held address lies in the pool that the allocation names; services on
the same address have equal, non-empty sharing keys, equal backend keys and no port in common. Ties
are broken by pool name, so that equal inputs in equal order give equal books.

This room does not read Service objects, emit events or write anything.
"""

"""The keel: pure decisions with reasons, on which every program acts and which it quotes.

`plan_service` says which addresses a service gets, `plan_layer2` which nodes may announce them and
in what order; both say why, for every pool and every node. `diff` turns a decision into the one
write that is needed, or none. `plan_changes` (`preview`) tells what other pools would change. What
a brain tells its announcer is in `desired`.

Deciding about addresses changes the allocation book it is given: the book is the memory of the
decisions made. Everything else here only reads. Nothing is fetched, written, logged or timed.
"""

"""SWIM as hashicorp/memberlist 0.6 speaks it: the wire format, and the machine that speaks it.

`message` is what is said; `packet` and `stream` are how it travels in datagrams and connections.
Everything here is pure; ciphers and chance come from outside (`membership.seal`).
"""

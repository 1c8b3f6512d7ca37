"""Bidirectional Forwarding Detection: packets and the session machine (RFC 5880, 5881, 5883).

Pure: facts in, effects out; knows nothing of BGP. `table` has all sessions of a node and finds out
whom a packet is for, `session` is the machine, `timing` what both sides agree on, `packet` and
`auth` are the bytes.
"""

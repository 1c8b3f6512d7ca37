"""Bidirectional Forwarding Detection: packets and the session machine (RFC 5880, 5881, 5883).

Pure: facts in, effects out; knows nothing of BGP.
"""

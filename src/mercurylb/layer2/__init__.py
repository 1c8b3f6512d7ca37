"""ARP and NDP: codecs, kernel-independent interface rules, and the machine that answers.

Pure: bytes and facts in, effects out. `responder.Responder` is the only thing users hold.
"""

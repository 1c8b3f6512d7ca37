"""ARP and NDP: what this node announces, what it answers, and who else claims it.

Pure: bytes and facts in, effects out. `responder.Responder` is the only machine users hold; its
parts are `ability` and `ownership` (whose a service is), `address`, `port` and `table` (what is
announced where), `burst` (when), `answer` and `conflict` (what a frame gets), over the codecs `arp`
and `ndp` and the rules for links in `interface`.
"""

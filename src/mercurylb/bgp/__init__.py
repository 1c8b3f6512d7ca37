"""BGP-4: messages, attributes, the session machine, and what is sent to whom (RFC 4271 and others).

Pure: facts in, effects out. Sockets, clocks and the meaning of services are elsewhere. Everything is
announced and nothing is accepted: routes from peers are checked and forgotten.
"""

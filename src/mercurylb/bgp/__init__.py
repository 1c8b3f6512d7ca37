"""BGP-4: messages, attributes, the session machine, and what is sent to whom (RFC 4271 and more).

Pure: facts in, effects out. Sockets, clocks and the meaning of services are elsewhere. Routes are
announced and none is accepted: those from peers are checked and forgotten.
"""

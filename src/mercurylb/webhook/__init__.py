"""The webhooks that the API server asks: admission of our kinds, conversion of BGPPeer, and TLS.

The walk of a question: `server` takes a request with bounds on everything → `review` decodes it →
`admission` reads what exists now and has `config.admission` decide, or `conversion` has
`api.conversion` convert → `review` encodes the answer.

The walk of a certificate: `keeper` watches the secret → `rotation` (pure) says whether it is good
for long enough, inside `forge`, a child process that alone loads the X.509 library → `handover`
(pure) says when to serve it and what the API server must trust meanwhile → `keeper` injects the
authority and hands the pair to `server`. With rotation off, `files` reads it from a directory.

`service` puts both together; programs know nothing else of this room. Every replica of a program
serves, leader or not; writes are optimistic, so two replicas end up with one authority.

What this room does not do: decide what is valid (the config room), know HTTP/2 (the API server is
content with HTTP/1.1 over connections that are kept).
"""

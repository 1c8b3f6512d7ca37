"""Everything that talks to the Kubernetes API server.

The walk of an object: `client` opens a watch → `watch` cuts the stream into lines → `reflector` (a
pure machine) turns list pages and lines into outputs → `store` keeps the local copy and marks keys
dirty → a program wakes, plans, and hands operations to `writer`, which goes back through `client`.
`events` records core/v1 Events, `access` asks the API server who may read the metrics, and
`credentials` knows how we present ourselves.

What this room does not do: decide anything about services, addresses or nodes; read the environment
by itself; log by itself (programs hand in a `report.Log`); count by itself (plain integers that
programs read at scrape time). It is generic over the object types: it knows metadata, nothing else.
"""

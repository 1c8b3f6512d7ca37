"""What a program tells about itself: log lines, metrics, health, and how it takes its flags.

`logs` writes JSON lines, `metrics` holds the registry, `server` answers the kubelet and Prometheus,
`tls` reads the TLS flags, `flags` the command line, `selfsigned` makes a certificate in a child.

What this room does not do: know Kubernetes (who may read metrics is a function handed in), or
decide what is worth logging. Heavy imports (prometheus_client, cryptography) happen where they are
used.
"""

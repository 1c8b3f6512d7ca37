"""The sidecar that shows what FRR knows of its sessions, as Prometheus reads it.

It asks FRR's daemons over their own terminal sockets, as vtysh does, so FRR's programs need not be
where it runs. FRR is asked anew for each scrape; what one VRF cannot tell costs the others nothing.
"""

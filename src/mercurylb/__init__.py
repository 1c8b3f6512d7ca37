"""MercuryLB: addresses for Services of type LoadBalancer on bare metal, and the network told so.

ARCHITECTURE.md shows the rooms of this package and what each may import.
"""

__version__ = "0.1.0"

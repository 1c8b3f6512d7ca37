"""Values that have no home in Kubernetes: addresses, prefixes, MACs, selectors, durations.

Every type is frozen and compares by value; every parser raises `ParseError` and nothing else.
This room imports only `errors` and does not know what a service or a pool is.
"""

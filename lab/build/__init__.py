"""Everything the lab installs, downloads or builds once, cached outside the tree.

Each module ensures one thing and returns where it is: Debian packages (`apt`), a Go toolchain
(`go`), the Kubernetes components (`kube`), CoreDNS, Helm, the pause program. Caches are keyed by
version or by a digest of the inputs, written under a temporary name and renamed when complete, so
that a second run is quick and an interrupted one leaves nothing half done.
"""

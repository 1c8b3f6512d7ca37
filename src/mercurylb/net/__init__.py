"""I/O shells: packet and UDP sockets, netlink, the channel between processes, the driver loop.

`bpf` and `netlink` are pure codecs that nobody else needs; everything else here owns descriptors of
a running event loop and turns them into facts, or effects into system calls.
"""

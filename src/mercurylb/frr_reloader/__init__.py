"""The sidecar that has a running FRR take over another frr.conf.

It runs in FRR's own image, where nothing of ours is installed. So it is one file that needs Python
and nothing else, and it installs itself: `mercurylb-frr-reloader --install PATH`.
"""

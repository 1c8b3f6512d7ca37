"""Kubernetes objects that are read or written, as narrow frozen structs, one file per kind.

A struct declares only the fields that somebody uses; a decoder skips the rest, which keeps
`managedFields` and the like out of memory. What the API may leave out or deliver as null (lists,
maps, nested objects) is optional here, so readers write `metadata.labels or {}`. Encoding omits
defaults. Nothing in this room decides anything.
"""

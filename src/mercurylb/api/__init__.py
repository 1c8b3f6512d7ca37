"""Kubernetes objects that are read or written, as narrow frozen structs, one file per kind.

Of other people's kinds a struct declares only the fields that somebody uses; a decoder skips the
rest, which keeps `managedFields` and the like out of memory. Kinds of `metallb.io` declare every
field, annotated with what its definition says of it (`schema`): the structs are the one source of
the definitions in `config/crd`, which `scripts/crds.py` writes (`definition`, `crd`).

What the API may leave out or deliver as null (lists, maps, nested objects) is optional here, so
readers write `metadata.labels or {}`. Encoding omits defaults. Bounds, enums and patterns are the
API server's business and the config room's: a stored object that breaks them is read all the same.
Nothing in this room decides anything.
"""

"""Short ways to write the objects of a configuration, and to look at what is wrong with them."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from mercurylb.api.bfd_profile import BFDProfile
from mercurylb.api.bgp_advertisement import BGPAdvertisement
from mercurylb.api.bgp_peer import BGPPeer
from mercurylb.api.community import Community
from mercurylb.api.secret import Secret
from mercurylb.config.compilation import compile_config
from mercurylb.config.resources import FRR_K8S, gather

if TYPE_CHECKING:
    from mercurylb.config.model import Config
    from mercurylb.errors import Problem

HOME = "metallb"

T = TypeVar("T")


def made(kind: type[T], name: str, spec: Any, labels: dict[str, str] | None = None) -> T:
    """Make an object of a kind; its spec by the JSON names."""
    metadata = {"name": name, "namespace": HOME, "labels": labels}
    return msgspec.convert({"metadata": metadata, "spec": spec}, kind)


def peer(name: str = "p", **spec: Any) -> BGPPeer:
    """Make a peer that is valid unless told otherwise; None leaves a field out."""
    fields = {"myASN": 100, "peerASN": 200, "peerAddress": "10.2.2.2", **spec}
    fields = {field: value for field, value in fields.items() if value is not None}
    return made(BGPPeer, name, fields)


def bgp(name: str = "ad", **spec: Any) -> BGPAdvertisement:
    """Make a BGPAdvertisement."""
    return made(BGPAdvertisement, name, spec)


def bfd(name: str = "fast", **spec: Any) -> BFDProfile:
    """Make a BFD profile."""
    return made(BFDProfile, name, spec)


def community(name: str = "c", **aliases: str) -> Community:
    """Make a Community."""
    entries = [{"name": alias, "value": value} for alias, value in aliases.items()]
    return made(Community, name, {"communities": entries})


def secret(name: str = "s", *, kind: str = "kubernetes.io/basic-auth", **data: str) -> Secret:
    """Make a secret."""
    encoded = {key: base64.b64encode(text.encode()).decode() for key, text in data.items()}
    document = {"metadata": {"name": name, "namespace": HOME}, "type": kind, "data": encoded}
    return msgspec.convert(document, Secret)


def selector(**labels: str) -> dict[str, Any]:
    """Make a label selector."""
    return {"matchLabels": labels}


def problems_of(*objects: Any, backend: str = FRR_K8S) -> list[Problem]:
    """Give the problems; an invalid configuration must not come with a value."""
    config, problems = compile_config(gather(objects, backend=backend))
    assert (config is None) is bool(problems)
    assert all(problem.code for problem in problems)
    return list(problems)


def told(*objects: Any, backend: str = FRR_K8S) -> list[str]:
    """Give `Kind/name field: message` of each problem."""
    return [
        f"{problem.object.replace(' metallb/', '/')} {problem.field}: {problem.message}"
        for problem in problems_of(*objects, backend=backend)
    ]


def config_of(*objects: Any, backend: str = FRR_K8S) -> Config:
    """Compile objects that are known to be valid."""
    config, problems = compile_config(gather(objects, backend=backend))
    assert config is not None, problems
    return config

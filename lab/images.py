"""The container images of the lab, made without an image builder and imported into every node.

Ours (one image for controller and speaker) and the small ones that the walk-through and the tests
run: pause, busybox, a web application, NGINX from Debian's packages, CoreDNS. All of them go into
one docker-archive, so a node imports them in one go and shared layers travel once.
"""

from __future__ import annotations

import shutil
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import yaml

from lab import chartrepo, paths
from lab.build import apt, archive, cache, coredns, frr_image, layers, pause, rootfs, runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PAUSE: Final = "localhost/pause:lab"
BUSYBOX: Final = "localhost/busybox:lab"
WEB: Final = "localhost/web:lab"
NGINX: Final = "localhost/nginx:lab"
COREDNS: Final = "localhost/coredns:lab"
FRR: Final = "localhost/frr:lab"
FRRK8S: Final = "localhost/frr-k8s:lab"

RECIPE: Final = 1
"""Raise by one when a rule in this file changes what the images contain."""

_BUSYBOX_PROGRAM: Final = Path("/bin/busybox")
_APPLETS: Final = (
    *("cat", "cp", "date", "echo", "env", "false", "grep", "head", "hostname", "httpd", "id"),
    *("ip", "kill", "ls", "mkdir", "mv", "nc", "nslookup", "ping", "ping6", "printf", "ps"),
    *("rm", "sed", "seq", "sh", "sleep", "tail", "test", "timeout", "touch", "tr", "true"),
    *("udhcpc", "uname", "wc", "wget", "which"),
)
_NGINX_PACKAGES: Final = ("libpcre2-8-0", "nginx", "nginx-common")
_NGINX_KEPT: Final = ("usr/sbin/nginx", "etc/nginx/mime.types", "usr/share/nginx/html")
_NGINX_CONF: Final = """\
daemon off;
user root;
worker_processes 1;
pid /tmp/nginx.pid;
error_log stderr warn;
events { worker_connections 512; }
http {
    include /etc/nginx/mime.types;
    access_log /dev/stdout;
    client_body_temp_path /tmp/client_body;
    proxy_temp_path /tmp/proxy;
    fastcgi_temp_path /tmp/fastcgi;
    uwsgi_temp_path /tmp/uwsgi;
    scgi_temp_path /tmp/scgi;
    include /etc/nginx/conf.d/*.conf;
}
"""
_WEB_START: Final = """\
#!/bin/sh
# Serve one page that names the pod and the node it comes from.
mkdir -p /tmp/www
cat > /tmp/www/index.html <<END
<!doctype html>
<title>Hello</title>
<p>Hello from pod ${POD_NAME:-$(hostname)} on node ${NODE_NAME:-unknown}</p>
END
exec httpd -f -v -p "${PORT:-8080}" -h /tmp/www
"""


def our_version() -> str:
    """Return the version of MercuryLB in this tree."""
    project = tomllib.loads((paths.REPOSITORY / "pyproject.toml").read_text())["project"]
    return str(project["version"])


def our_name() -> str:
    """Return the name our image has when nobody asks for another one."""
    return f"localhost/mercurylb:{our_version()}"


def our_image(names: Sequence[str] = ()) -> archive.Image:
    """Describe our image, under `names` or under its own name, building what is missing."""
    return archive.Image(
        names=tuple(names) or (our_name(),),
        layers=(runtime.base_layer(), runtime.dependency_layer(), runtime.code_layer()),
        command=("/usr/bin/mercurylb-controller",),
        env={
            "LANG": "C.UTF-8",
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUNBUFFERED": "1",
            "SSL_CERT_FILE": "/etc/ssl/certs/ca-certificates.crt",
        },
        user=f"{rootfs.NOBODY}:{rootfs.NOBODY}",
        labels={
            "org.opencontainers.image.title": "mercurylb",
            "org.opencontainers.image.version": our_version(),
            "org.opencontainers.image.licenses": "Apache-2.0",
        },
    )


def test_images() -> list[archive.Image]:
    """Describe the images that the walk-through and the tests use, building what is missing."""
    box = _layer("busybox", _fill_busybox)
    path = {"PATH": "/sbin:/usr/sbin:/bin:/usr/bin"}
    return [
        archive.Image((PAUSE,), (_layer("pause", _fill_pause),), entrypoint=("/pause",)),
        archive.Image((BUSYBOX,), (box,), command=("/bin/sh",), env=path),
        archive.Image((WEB,), (box, _layer("web", _fill_web)), command=("/start",), env=path),
        archive.Image(
            (NGINX,), (box, _layer("nginx", _fill_nginx)), command=("/usr/sbin/nginx",), env=path
        ),
        archive.Image((COREDNS,), (_layer("coredns", _fill_coredns),), entrypoint=("/coredns",)),
    ]


def frr_images() -> list[archive.Image]:
    """Describe FRR and frr-k8s, which only some labs need, also under the charts' names."""
    path = {"PATH": "/sbin:/usr/sbin:/bin:/usr/bin"}
    frr, frrk8s = _names_in_charts()
    return [
        archive.Image((FRR, *frr), (frr_image.frr_layer(),), command=("/bin/sh",), env=path),
        archive.Image(
            (FRRK8S, *frrk8s), (frr_image.frrk8s_layer(),), command=("/frr-k8s",), env=path
        ),
    ]


def _names_in_charts() -> tuple[list[str], list[str]]:
    """Return the names that the values of our charts give to FRR and to frr-k8s."""
    ours = yaml.safe_load((chartrepo.CHART / "values.yaml").read_text())
    theirs = yaml.safe_load((chartrepo.CHART / "charts/frr-k8s/values.yaml").read_text())
    frr = [ours["speaker"]["frr"]["image"], theirs["frrk8s"]["frr"]["image"]]
    frrk8s = [theirs["frrk8s"]["image"]]
    return _full_names(frr), _full_names(frrk8s)


def _full_names(images: Sequence[dict[str, str]]) -> list[str]:
    names = {f"{image['repository']}:{image['tag']}" for image in images}
    return sorted(chartrepo.full_image_name(name) for name in names)


def ensure_bundle(names: Sequence[str] = (), *, has_frr: bool = False) -> Path:
    """Return one docker-archive with every image, ours under `names`."""
    more = frr_images() if has_frr else []
    return write_bundle([*test_images(), our_image(names), *more])


def write_bundle(images: Sequence[archive.Image]) -> Path:
    """Write `images` into one docker-archive in the cache, unless that very archive is there."""
    parts = [repr(replace(image, layers=())) for image in images]
    parts += [layer.digest for image in images for layer in image.layers]
    folder = layers.image_folder("bundle", parts)

    def build(scratch: Path) -> None:
        archive.write_archive(images, scratch / "images.tar")
        cache.drop_older(folder, "bundle-*", keep=3)

    return cache.build_once(folder, "writing the images", build) / "images.tar"


def _layer(name: str, fill: Callable[[Path], None]) -> archive.Layer:
    inputs = [name, str(RECIPE), *_APPLETS, _NGINX_CONF, _WEB_START, *_NGINX_PACKAGES]
    if name == "coredns":
        inputs.append(coredns.ensure_coredns().parent.name)
    if name == "pause":
        inputs.append(pause.ensure_pause().parent.name)
    return layers.build_layer(name, inputs, fill)


def _fill_pause(root: Path) -> None:
    shutil.copy(pause.ensure_pause(), root / "pause")


def _fill_coredns(root: Path) -> None:
    shutil.copy(coredns.ensure_coredns(), root / "coredns")


def _fill_busybox(root: Path) -> None:
    for folder in ("bin", "etc", "tmp", "dev", "proc", "sys", "root"):
        (root / folder).mkdir()
    (root / "tmp").chmod(0o1777)
    shutil.copy(_BUSYBOX_PROGRAM, root / "bin/busybox")
    for applet in _APPLETS:
        (root / "bin" / applet).symlink_to("busybox")
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\n")
    (root / "etc/nsswitch.conf").write_text("hosts: files dns\n")


def _fill_web(root: Path) -> None:
    (root / "start").write_text(_WEB_START)
    (root / "start").chmod(0o755)


def _fill_nginx(root: Path) -> None:
    shutil.copytree(runtime.libc_tree(), root, symlinks=True, dirs_exist_ok=True)
    scratch = root.parent / "nginx"
    scratch.mkdir()
    apt.unpack_packages(apt.download_packages(_NGINX_PACKAGES, scratch), scratch)
    for name in _NGINX_KEPT:
        target = root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (scratch / name).is_dir():
            shutil.copytree(scratch / name, target)
        else:
            shutil.copy(scratch / name, target)
    for library in scratch.glob("usr/lib/*/libpcre2-8.so*"):
        target = root / library.relative_to(scratch)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, target, follow_symlinks=False)
    shutil.rmtree(scratch)
    (root / "etc/nginx/nginx.conf").write_text(_NGINX_CONF)
    for folder in ("etc/nginx/conf.d", "var/log/nginx", "var/lib/nginx"):
        (root / folder).mkdir(parents=True, exist_ok=True)

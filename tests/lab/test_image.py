"""The image: small, the same each time, without a shell, and the same from the Containerfile."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from lab import imagefile, images, netns, paths
from lab.build import apt, archive, cache, papers, rootfs, runtime

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

BUILDER_PACKAGES = (
    *rootfs.PYTHON_PACKAGES,
    *("dpkg", "libacl1", "libmd0", "libpcre2-8-0", "libselinux1", "libzstd1", "tar"),
)
APPLETS = ("sh", "mkdir", "rm", "cat", "ls", "env", "true")
DEBS, WHEELS = "srv/debs", "srv/wheels"
Entry = tuple[str, int, str, str]


@pytest.fixture(scope="module")
def image() -> archive.Image:
    """Build our image, or take it from the cache."""
    if os.geteuid() != 0:
        pytest.skip("an image is built as root: its files belong to root")
    return images.our_image()


@pytest.fixture(scope="module")
def files(image: archive.Image, tmp_path_factory: pytest.TempPathFactory) -> imagefile.Files:
    """Write the image and its papers."""
    return imagefile.write(image, tmp_path_factory.mktemp("image"))


def contents(*tars: Path) -> dict[str, Entry]:
    """Give kind, mode, target and digest of everything that the layers put into an image."""
    found: dict[str, Entry] = {}
    for path in tars:
        with tarfile.open(path) as tar:
            found |= read(tar)
    return found


def read(tar: tarfile.TarFile) -> dict[str, Entry]:
    """Give the same of one open layer; a hard link counts as the file that it is."""
    found: dict[str, Entry] = {}
    for entry in tar:
        name = entry.name.removeprefix("./").strip("/")
        assert (entry.uid, entry.gid) == (0, 0), name
        if entry.isdir():
            found[name] = ("folder", entry.mode & 0o7777, "", "")
        elif entry.issym():
            found[name] = ("link", 0o777, entry.linkname, "")
        elif entry.isfile() or entry.islnk():
            content = tar.extractfile(entry)
            assert content is not None
            digest = hashlib.sha256(content.read()).hexdigest()
            found[name] = ("file", entry.mode & 0o7777, "", digest)
    found.pop("", None)
    return found


def test_the_image_is_small_and_has_no_shell(image: archive.Image) -> None:
    """It is at most 90 MB, and holds our programs, the original's names and nothing else to run."""
    assert imagefile.size_mb(image.layers) <= imagefile.BUDGET_MB
    held = contents(*(layer.tar for layer in image.layers))
    assert {f"usr/bin/{name}" for name in rootfs.ENTRY_POINTS} <= set(held)
    assert held["controller"][2] == "usr/bin/mercurylb-controller"
    assert held["speaker"][2] == "usr/bin/mercurylb-speaker"
    programs = {name.rpartition("/")[2] for name in held if "/bin/" in f"/{name}"}
    assert not programs & {"sh", "bash", "dash", "busybox", "env", "apt-get", "dpkg", "pip", "perl"}
    assert [name for name, it in held.items() if it[0] == "file" and it[1] & 0o6000] == []
    assert image.user == "65534:65534"


@pytest.fixture
def unpacked(image: archive.Image) -> Iterator[Path]:
    """Unpack the image where others than root may look."""
    with tempfile.TemporaryDirectory(prefix="mercurylb-image-") as name:
        root = Path(name)
        root.chmod(0o755)
        for layer in image.layers:
            with tarfile.open(layer.tar) as tar:
                tar.extractall(root, filter="fully_trusted")
        yield root


def test_every_program_of_the_image_starts(unpacked: Path) -> None:
    """Each answers --help, and every module of ours can be imported, in the image alone."""
    checked = (
        "import importlib, pkgutil, sys, mercurylb\n"
        "skipped = ('mercurylb.frr_reloader',)\n"
        "for m in pkgutil.walk_packages(mercurylb.__path__, 'mercurylb.'):\n"
        "    if not m.name.endswith('__main__') and not m.name.startswith(skipped):\n"
        "        importlib.import_module(m.name)\n"
    )
    run_inside(unpacked, ["/usr/bin/python3", "-sPc", checked])
    for name in sorted(set(rootfs.ENTRY_POINTS) - {"mercurylb-frr-reloader"}):  # Runs with FRR.
        run_inside(unpacked, [f"/usr/bin/{name}", "--help"])


def run_inside(root: Path, argv: list[str]) -> None:
    """Run a program with `root` as its root and no rights."""
    done = subprocess.run(
        [netns.tool("chroot"), "--userspec=65534:65534", str(root), *argv],
        env={"PATH": "/usr/bin", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, f"{argv}: {done.stderr or done.stdout}"


def test_the_bill_of_materials_names_every_part(
    image: archive.Image, files: imagefile.Files
) -> None:
    """It is valid CycloneDX, with each Debian package and each locked dependency, and digests."""
    text = files.bill.read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    found = {part["purl"].partition("?")[0]: part for part in json.loads(text)["components"]}
    debian = {name.split("/")[2].split("@")[0] for name in found if name.startswith("pkg:deb/")}
    assert debian == set(rootfs.PYTHON_PACKAGES)
    lock = rootfs.LOCK.read_text()
    for line in lock.splitlines():
        if "==" in line and "python_full_version" not in line:
            name, version = line.split(";")[0].strip(" \\").split("==")
            part = found[f"pkg:pypi/{name}@{version}"]
            assert f"sha256:{part['hashes'][0]['content']}" in lock
    assert len(found) == len(papers.of_image(image))


def test_the_provenance_names_what_was_taken(image: archive.Image, files: imagefile.Files) -> None:
    """Its subject is this very image, its materials are our sources, the lock and every part."""
    told: dict[str, Any] = json.loads(files.provenance.read_text())
    digests = {item["name"]: item["digest"]["sha256"] for item in told["subject"]}
    with tarfile.open(files.image) as tar:
        manifest = json.load(tar.extractfile("manifest.json") or io.BytesIO())
    assert {f"{digest}.json" for name, digest in digests.items() if name in image.names} == {
        manifest[0]["Config"]
    }
    assert digests["docker-archive"] == archive.file_digest(files.image)
    taken = told["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert {item.get("uri") for item in taken} >= {part.purl for part in papers.of_image(image)}
    named = {item.get("name"): item["digest"]["sha256"] for item in taken}
    assert named["src/mercurylb"] == runtime.source_digest()
    assert f"{digests['docker-archive']}  {files.image.name}\n" in files.sums.read_text()


def test_the_containerfile_makes_the_same_image(image: archive.Image, tmp_path: Path) -> None:
    """Built by buildah without a network, it has the same files, bytes, modes and configuration."""
    apt.ensure_packages(("buildah",))
    base = ensure_base(image)
    context = tmp_path / "context"
    context.mkdir()
    shutil.copy(paths.REPOSITORY / "Containerfile", context)
    shutil.copy(rootfs.LOCK, context)
    unused = shutil.ignore_patterns("__pycache__")
    for name in ("lab", "src"):
        shutil.copytree(paths.REPOSITORY / name, context / name, ignore=unused)
    if archive.tree_digest([context / "src/mercurylb"], suffixes=(".py", ".typed")) != (
        runtime.source_digest()
    ):
        image = images.our_image()  # Somebody edits the sources at this moment.
    storage = ["--root", f"{tmp_path}/root", "--runroot", f"{tmp_path}/run"]
    buildah = [netns.tool("buildah"), *storage, "--storage-driver", "vfs"]
    words = ["bud", "--isolation", "chroot", "--tag", "trial", "--quiet"]
    words += ["--build-arg", f"BASE=docker-archive:{base}", "--build-arg", f"DEBS=/{DEBS}"]
    alone = [netns.tool("unshare"), "--net"]
    try:
        command([*alone, *buildah, *words, str(context)])
        made = tmp_path / "made.tar"
        command([*buildah, "push", "trial", f"docker-archive:{made}:trial"])
    finally:
        subprocess.run([*buildah, "rmi", "--all", "--force"], capture_output=True, check=False)
    with tarfile.open(made) as tar:
        manifest = json.load(tar.extractfile("manifest.json") or io.BytesIO())[0]
        config = json.load(tar.extractfile(manifest["Config"]) or io.BytesIO())["config"]
        theirs: dict[str, Entry] = {}
        for name in manifest["Layers"]:
            with tarfile.open(fileobj=tar.extractfile(name)) as layer:
                theirs |= read(layer)
    ours = contents(*(layer.tar for layer in image.layers))
    assert sorted(set(ours) ^ set(theirs)) == []
    assert [name for name in ours if ours[name] != theirs[name]] == []
    own = archive.image_config(image)["config"]
    assert sorted(config["Env"]) == own["Env"]
    assert {key: config[key] for key in ("Cmd", "User")} == {"Cmd": own["Cmd"], "User": own["User"]}
    assert own["Labels"].items() <= config["Labels"].items()


def command(argv: list[str]) -> None:
    """Run a program that has to succeed."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=500)
    assert done.returncode == 0, f"{argv[:4]}: {done.stdout[-2000:]}{done.stderr[-4000:]}"


def ensure_base(image: archive.Image) -> Path:
    """Return an image to build in, with all that the build takes: nothing is fetched in it."""
    layers = [layer.digest for layer in image.layers[:2]]
    key = hashlib.sha256("\n".join([*layers, *BUILDER_PACKAGES, *APPLETS]).encode()).hexdigest()
    folder = paths.cache_root() / "images" / f"builder-{key[: cache.KEY_LENGTH]}"

    def build(scratch: Path) -> None:
        root = scratch / "root"
        root.mkdir()
        fill_builder(root, image.layers[0].tar.parent / rootfs.DEBS)
        layer = archive.pack_layer(root, scratch / "layer.tar")
        env = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": f"/{WHEELS}", "PATH": "/bin:/usr/bin"}
        made = archive.Image(("localhost/builder:lab",), (layer,), env=env)
        archive.write_archive([made], scratch / "base.tar")
        shutil.rmtree(root)
        layer.tar.unlink()
        cache.drop_older(folder, "builder-*", keep=1)

    return cache.build_once(folder, "an image to build in", build) / "base.tar"


def fill_builder(root: Path, debs: Path) -> None:
    """Fill a tree with Debian's Python, pip, dpkg, a shell, and what a build would fetch."""
    rootfs.unpack(BUILDER_PACKAGES, root, root.parent / "downloads")
    (root / "usr/bin/python3").symlink_to(f"python{rootfs.PYTHON}")
    (root / "tmp").mkdir(exist_ok=True)
    (root / "tmp").chmod(0o1777)
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\n")
    apt.ensure_packages(("busybox-static",))
    shutil.copy("/bin/busybox", root / "bin/busybox")
    for applet in APPLETS:
        (root / "bin" / applet).unlink(missing_ok=True)
        (root / "bin" / applet).symlink_to("busybox")
    import pip  # noqa: PLC0415 (the one of the environment is what the image gets)

    source = Path(pip.__file__).parent
    unused = shutil.ignore_patterns("__pycache__")
    shutil.copytree(source, root / "usr/lib/python3/dist-packages/pip", ignore=unused)
    shutil.copytree(debs, root / DEBS)
    wheels = root / WHEELS
    platforms = [f"manylinux2014_{os.uname().machine}", f"manylinux_2_28_{os.uname().machine}"]
    command(
        [
            *(sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--require-hashes"),
            *("--dest", str(wheels), "--only-binary", ":all:", "-r", str(rootfs.LOCK)),
            *("--python-version", rootfs.PYTHON, "--implementation", "cp"),
            *(word for name in platforms for word in ("--platform", name)),
        ]
    )

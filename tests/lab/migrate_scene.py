"""What the test of docs/migrate.md performs it with: the page, what is moved from, and the cluster.

What is moved from is a stand-in, or a release of the original that somebody gives from outside:
MERCURYLB_ORIGINAL_CHART (a folder), MERCURYLB_ORIGINAL_MANIFESTS (a folder with
`metallb-native.yaml`), MERCURYLB_ORIGINAL_CONTROLLER and MERCURYLB_ORIGINAL_SPEAKER (programs).
"""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import shutil
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import yaml

from lab import status
from lab.build import archive, runtime
from lab.console import StepFailed
from lab.failover import judge
from lab.progress import say
from tests.documents import ROOT, blocks
from tests.interop.programs import ensure_foreign
from tests.lab import stand_in
from tests.lab.helm_scene import HelmScene

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from lab.full import FullLab
    from lab.observe.report import OwnerReport, ProbeReport
    from lab.observe.watch import Watch
    from tests.documents import Block

CHART: Final = os.environ.get("MERCURYLB_ORIGINAL_CHART", "")
MANIFESTS: Final = os.environ.get("MERCURYLB_ORIGINAL_MANIFESTS", "")
GIVEN: Final = {
    "controller": os.environ.get("MERCURYLB_ORIGINAL_CONTROLLER", ""),
    "speaker": os.environ.get("MERCURYLB_ORIGINAL_SPEAKER", ""),
}
IS_ORIGINAL: Final = bool(CHART and MANIFESTS and all(GIVEN.values()))
HOME: Final = stand_in.HOME
PAGE: Final = ROOT / "docs" / "migrate.md"
NODES: Final = ("n1", "n2", "n3")
ADDRESSES: Final = ("192.168.111.12", "192.168.111.13", "192.168.111.14")
"""Each has another node as its first."""
READY_S: Final = 240.0
"""A pod starts in seconds, and in ten times that on a busy machine."""
GREETING: Final = "Hello from pod"
PATH: Final = f"export PATH={Path(sys.executable).parent}:$PATH; "
OUR_CHART: Final = re.compile(r"^helm (install|upgrade) \S+ mercurylb/")
QUICK: Final = "".join(
    f" --set {component}.readinessProbe.{key}={value}"
    for component in stand_in.COMPONENTS
    for key, value in (("initialDelaySeconds", 0), ("periodSeconds", 1))
)
"""Values of whoever moves: pods are asked at once whether they are ready."""
PROBE: Final = "/spec/template/spec/containers/0/readinessProbe"
FLEETING: Final = ("APIService ", "ControllerRevision ", "ServiceL2Status ", " sh.helm.release.")
"""What comes and goes with others: definitions, workloads, announcements, revisions."""
_HEADING: Final = re.compile(r"^##+ (.+)$")


class Page:
    """The commands of the page, by section and place."""

    def __init__(self) -> None:
        lines = PAGE.read_text().splitlines()
        heads = [(at, match[1]) for at, text in enumerate(lines) if (match := _HEADING.match(text))]
        self._blocks: dict[tuple[str, int], Block] = {}
        counts: dict[str, int] = {}
        for block in blocks(PAGE):
            if block.language != "sh":
                continue
            section = [head for at, head in heads if at < block.line][-1].partition(".")[0]
            number = counts.setdefault(section, 0)
            counts[section] += 1
            self._blocks[section, number] = block
        self._performed: set[tuple[str, int]] = set()

    def lines(self, section: str, number: int, **words: str) -> list[str]:
        """Give the commands of a block, with words of the page replaced by the cluster's."""
        self._performed.add((section, number))
        found = self._blocks[section, number].commands
        for word, instead in words.items():
            pattern = re.compile(rf"\b{word}\b")
            found = [pattern.sub(instead.replace("\\", r"\\"), line) for line in found]
        return found

    def left(self, *sections: str) -> list[str]:
        """Name the blocks of sections that nobody performed."""
        return [
            block.name
            for key, block in self._blocks.items()
            if key[0] in sections and key not in self._performed
        ]

    @property
    def sections(self) -> set[str]:
        """Name the sections that have commands."""
        return {section for section, _ in self._blocks}


@dataclass(frozen=True)
class Original:
    """What is moved from."""

    chart: Path
    manifest: Path
    words: str
    """What Helm is told at its installation."""
    overlay: Path
    """Our manifests, as somebody makes them his own."""


def prepare(lab: FullLab, folder: Path) -> Original:
    """Give every node the images, under names like the original's, and write what installs them."""
    foreign = ensure_foreign()
    images = []
    for component in stand_in.COMPONENTS:
        root = folder / component
        root.mkdir()
        program = GIVEN[component] if IS_ORIGINAL else foreign
        shutil.copy(program, root / component)
        (root / component).chmod(0o755)
        layers: tuple[archive.Layer, ...] = (archive.pack_layer(root, folder / f"{component}.tar"),)
        if IS_ORIGINAL:
            layers = (runtime.base_layer(), *layers)
        name = ":".join(stand_in.image_of(component).values())
        images.append(archive.Image((name,), layers, entrypoint=(f"/{component}",)))
    archive.write_archive(images, folder / "originals.tar")
    lab.import_images(folder / "originals.tar")
    manifest, overlay = folder / "metallb-native.yaml", write_overlay(folder / "overlay")
    if not IS_ORIGINAL:
        chart = stand_in.write_chart(folder / "metallb", stand_in.Programs.SPEAK)
        return Original(chart, stand_in.write_manifest(manifest), "", overlay)
    words = ["--set frrk8s.enabled=false" + QUICK]
    text = (Path(MANIFESTS) / "metallb-native.yaml").read_text()
    for component in stand_in.COMPONENTS:
        image = stand_in.image_of(component)
        words += [f"--set {component}.image.{key}={value}" for key, value in image.items()]
        pattern = rf"image: \S*metallb/{component}:\S+"
        text = re.sub(pattern, f"image: {image['repository']}:{image['tag']}", text)
    manifest.write_text(text)
    return Original(Path(CHART), manifest, " ".join(words), overlay)


def write_overlay(folder: Path) -> Path:
    """Write an overlay over our manifests: pods are asked at once whether they are ready."""
    folder.mkdir()
    patches = [
        {
            "target": {"kind": kind, "name": name},
            "patch": "\n".join(
                f"- {{op: add, path: {PROBE}/{key}, value: {value}}}"
                for key, value in (("initialDelaySeconds", 0), ("periodSeconds", 1))
            ),
        }
        for name, kind in stand_in.COMPONENTS.items()
    ]
    resources = [os.path.relpath(ROOT / "config" / "native", folder)]
    (folder / "kustomization.yaml").write_text(
        yaml.safe_dump({"resources": resources, "patches": patches})
    )
    return folder


class Journey:
    """A cluster on the move: takes steps, and looks after each whether all is well."""

    def __init__(self, lab: FullLab, original: Original) -> None:
        self.lab = lab
        self.original = original
        self.console = lab.console()
        self.page = Page()
        self.marks: list[tuple[str, float]] = [("", time.monotonic())]

    def type(self, section: str, number: int, *, check: bool = True, **words: str) -> str:
        """Type the commands of a block of the page."""
        known = {
            "metallb/metallb --version 0.16.2": str(self.original.chart),
            "metallb-native.yaml": str(self.original.manifest),
            "config/native": str(self.original.overlay),
        }
        said = ""
        for line in self.page.lines(section, number, **known, **words):
            values = QUICK if OUR_CHART.search(line) else ""
            said += self.console.run(PATH + line + values, check=check, timeout_s=READY_S + 10)
        return said

    def run(self, line: str) -> str:
        """Type a command that is not on the page."""
        return self.console.run(PATH + line, timeout_s=READY_S + 10)

    def configure(self) -> None:
        """Have the original announce addresses, of which each node owns one."""
        self.lab.wait_for(
            lambda: self.lab.apply(list(configuration())), timeout_s=READY_S, what="the webhooks"
        )
        self.look("the original serves")

    def look(self, step: str, *, owners: Sequence[str] = NODES) -> None:
        """Wait until a page comes from every address, by the one node that it belongs to."""
        wanted = {ip: [ranking(ip, owners)[0]] for ip in ADDRESSES}

        def is_well() -> bool:
            return self.owners() == wanted and all(map(self.page_of, ADDRESSES))

        try:
            self.lab.wait_for(is_well, timeout_s=90, what=step, interval_s=0.2)
        except Exception:
            say(f"{step}: {self.owners()}, wanted {wanted}")
            say(self.lab.kubectl("get", "pods", "-A", "-o", "wide"))
            raise
        now = time.monotonic()
        say(f"{now - self.marks[-1][1]:6.1f} s  {step}: {self.kinds()}")
        self.marks.append((step, now))

    def owners(self) -> dict[str, list[str]]:
        """Ask who answers for each address."""
        return {ip: status.who_answers(self.lab.site, ip) for ip in ADDRESSES}

    def page_of(self, ip: str) -> bool:
        """Tell whether a page comes from an address."""
        return GREETING in self.lab.client.http_get(f"http://{ip}/").text

    def until(self, condition: Callable[[], object], what: str) -> None:
        """Wait for something."""
        self.lab.wait_for(condition, timeout_s=READY_S, what=what, interval_s=0.2)

    def pods(self) -> dict[str, str]:
        """Give the images of all pods of the namespace by their names."""
        items = self.lab.kubectl_json("-n", HOME, "get", "pods")["items"]
        return {
            item["metadata"]["name"]: str(item["spec"]["containers"][0]["image"]) for item in items
        }

    def kinds(self) -> dict[str, str]:
        """Tell of each node whether its speaker is ours or theirs."""
        items = self.lab.kubectl_json("-n", HOME, "get", "pods")["items"]
        found = {}
        for item in items:
            container = item["spec"]["containers"][0]
            is_shadow = "shadow" in item["metadata"]["name"]
            if container["name"] == "speaker" and not is_shadow:
                ours = "mercurylb" in container["image"]
                found[item["spec"]["nodeName"]] = "ours" if ours else "theirs"
        return dict(sorted(found.items()))

    def inventory(self) -> set[str]:
        """Name every object of the cluster that does not come and go by itself."""
        found = HelmScene(self.lab).inventory()
        return {each for each in found if not any(word in each for word in FLEETING)}

    def identity(self, kind: str, name: str) -> str:
        """Give the identity of an object: another one means that it was made anew."""
        return str(self.lab.kubectl_json("-n", HOME, "get", kind, name)["metadata"]["uid"])

    def owners_of(self, kind: str, name: str) -> list[str]:
        """Name what an object goes with."""
        found = self.lab.kubectl_json("-n", HOME, "get", kind, name)["metadata"]
        return [each["name"] for each in found.get("ownerReferences", ())]

    def fails(self, line: str) -> bool:
        """Tell whether a command fails."""
        try:
            self.console.quiet(PATH + line)
        except StepFailed:
            return True
        return False


class Watching:
    """Somebody who never stops asking for the owner and the page of each address."""

    def __init__(self, journey: Journey) -> None:
        self._journey = journey
        self._stack = ExitStack()
        self._owners: dict[str, Watch[OwnerReport]] = {}
        self._pages: dict[str, Watch[ProbeReport]] = {}
        self._from = len(journey.marks) - 1

    def __enter__(self) -> Self:
        """Begin."""
        observe = self._journey.lab.observe
        for ip in ADDRESSES:
            owner = observe.owner(ip, host="cp", interval_ms=20.0)
            page = observe.http(f"http://{ip}/", interval_ms=100.0, timeout_ms=500.0)
            self._owners[ip] = self._stack.enter_context(owner)
            self._pages[ip] = self._stack.enter_context(page)
        for watch in self._pages.values():
            self._journey.until(lambda watch=watch: watch.report().succeeded, "pages are fetched")  # type: ignore[misc]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End."""
        self._stack.close()

    def told(self) -> list[dict[str, Any]]:
        """Give of each step how long no page came, nobody answered, and two did."""
        marks = self._journey.marks[self._from :]
        owners = [watch.lines() for watch in self._owners.values()]
        gaps = [gap for watch in self._pages.values() for gap in watch.report().gaps]
        found = []
        for (_, begin), (step, end) in itertools.pairwise(marks):
            page = [gap.length_s for gap in gaps if begin <= gap.begin < end]
            found.append(
                {
                    "step": step,
                    "no_page_s": round(max(page, default=0.0), 2),
                    "nobody_s": round(max(judge.wire_gap(each, begin, end) for each in owners), 2),
                    "two_s": round(max(judge.two_owners(each, begin, end) for each in owners), 2),
                }
            )
        return found


def ranking(address: str, nodes: Sequence[str]) -> list[str]:
    """Give the nodes in the order in which they may answer for an address."""
    return sorted(nodes, key=lambda n: hashlib.sha256(f"{n}#{address}".encode()).digest())


def configuration() -> list[dict[str, Any]]:
    """Describe a pool, its advertisement, and a service for each address."""
    head = {"apiVersion": "metallb.io/v1beta1"}
    pool = {"addresses": [f"{ADDRESSES[0]}-{ADDRESSES[-1]}"]}
    services = [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": f"web{number}", "namespace": "default"},
            "spec": {
                "type": "LoadBalancer",
                "selector": {"app": "web"},
                "ports": [{"name": "http", "port": 80, "targetPort": "http"}],
            },
        }
        for number in range(len(ADDRESSES))
    ]
    meta = {"name": "pool", "namespace": HOME}
    return [
        {**head, "kind": "IPAddressPool", "metadata": meta, "spec": pool},
        {**head, "kind": "L2Advertisement", "metadata": meta, "spec": {}},
        *services,
    ]

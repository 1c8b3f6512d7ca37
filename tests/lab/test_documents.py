"""The documents' own commands on real nodes: page after page, block after block, as a reader would.

Manifests are saved under the names that the page gives them, commands are typed on a machine of the
LAN, and what a page shows as output has to come. A reader's image, port and repository are replaced
by those of the lab (`STAND_INS`).
"""

from __future__ import annotations

import os
import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from lab import Lab, chartrepo, images
from lab.build import archive
from lab.console import StepFailed
from lab.router import BgpRouter, RouterOptions
from tests.documents import LAB_PAGES, ROOT, Block, blocks, missing_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.console import Console
    from lab.full import FullLab

pytestmark = [
    pytest.mark.lab,
    pytest.mark.full,
    pytest.mark.timeout(600),
    pytest.mark.skipif(os.geteuid() != 0, reason="a lab needs root"),
]

STAND_INS: Final = {
    "URL-OF-YOUR-CHART-REPOSITORY": chartrepo.URL,
    "image: nginx:1.27": 'image: localhost/web:lab\n        env: [{name: PORT, value: "80"}]',
    "Welcome to nginx!": "Hello",
    "sudo ": "",
}
IMPORTED: Final = """\
apiVersion: v1
kind: Pod
metadata: {name: imported, namespace: default}
spec:
  nodeName: n2
  restartPolicy: Never
  containers: [{name: it, image: "%s", command: [/usr/bin/mercurylb, --help]}]
"""
PATIENCE_S: Final = 90.0
SLOW_S: Final = 200.0
PATH: Final = f"export PATH={Path(sys.executable).parent}:$PATH; "
CHANGING: Final = re.compile(
    r"^(helm |kubectl (-n \S+ )?(apply|create|delete|label|drain|uncordon) )"
)
"""Commands that are typed once; others are repeated until they print what they should."""


@pytest.fixture(scope="module")
def lab() -> Iterator[FullLab]:
    """Bring up one full lab for all pages, with a router that waits for BGP peers."""
    with Lab.full(name="documents", nodes=3) as running:
        BgpRouter(running.site).start(
            RouterOptions(asn=64501, node_asn=64500, has_bfd=True, bfd_ms=300)
        )
        yield running


@pytest.fixture(scope="module")
def console(lab: FullLab) -> Console:
    """Give a reader's terminal, whose Helm knows the chart repository."""
    out = lab.console()
    out.run(f"helm repo add mercurylb {chartrepo.URL}")
    return out


def test_an_image_comes_to_a_node_without_a_registry(lab: FullLab, tmp_path: Path) -> None:
    """Imported by the words of the page about installation, it is there for pods of its name."""
    text = (ROOT / "docs" / "install.md").read_text()
    (name,) = set(re.findall(r"podman push (\S+)", text))
    (line, file) = re.findall(r"`sudo (ctr [^`]* ([^` ]+))`", text)[0]
    archive.write_archive([images.our_image([name])], tmp_path / file)
    lab.host("n2").run(["/bin/sh", "-c", f"cd {tmp_path} && {line}"], timeout_s=120)
    lab.apply(IMPORTED % name)
    phase = ("get", "pod", "imported", "-o", "jsonpath={.status.phase}")
    lab.wait_for(lambda: lab.kubectl(*phase) == "Succeeded", timeout_s=60, what="the pod ran")
    assert "mercurylb" in lab.kubectl("logs", "imported")
    lab.kubectl("delete", "pod", "imported", "--now")


@pytest.mark.parametrize("name", LAB_PAGES)
def test_a_page_does_what_it_says(console: Console, name: str) -> None:
    """Each command succeeds on what the pages before it made, and prints what is shown."""
    page = blocks(ROOT / "docs" / name)
    for block, following in zip(page, [*page[1:], None], strict=True):
        if block.title:
            (console.folder / block.title).write_text(stood_in(block.text))
        if block.language == "sh" and not block.reason:
            wanted = following.text if following and following.is_output else ""
            perform(console, block, stood_in(wanted))


def perform(console: Console, block: Block, wanted: str) -> None:
    """Type the commands of a block; the ones after its last change have to print what is wanted."""
    lines = [PATH + stood_in(line) for line in block.commands]
    if block.note == "fails":
        said = console.fails(lines[-1], host=block.host)
        assert not missing_in(said, wanted), block.name
        return
    changes = [at for at, line in enumerate(block.commands) if CHANGING.match(line)]
    begin = changes[-1] + 1 if changes else 0
    said = "".join(console.run(line, host=block.host, timeout_s=SLOW_S) for line in lines[:begin])
    deadline = time.monotonic() + PATIENCE_S
    while True:
        seen, problem = looked(console, block, lines[begin:])
        problem = problem or missing_in(said + seen, wanted)
        if not problem:
            return
        assert begin < len(lines), f"{block.name}: {problem!r} is not printed by\n{said}"
        assert time.monotonic() < deadline, f"{block.name}: {problem!r} is not printed by\n{seen}"
        time.sleep(0.5)


def looked(console: Console, block: Block, lines: list[str]) -> tuple[str, str]:
    """Give what commands print that change nothing, and what is wrong if one of them fails."""
    said = ""
    for line in lines:
        try:
            said += console.run(line, host=block.host, timeout_s=SLOW_S)
        except StepFailed as failure:
            return said, str(failure)
    return said, ""


def stood_in(text: str) -> str:
    """Put the lab's own things in place of the reader's."""
    for reader, ours in STAND_INS.items():
        text = text.replace(reader, ours)
    return text

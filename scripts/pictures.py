"""Draw the pictures of the documents: docs/pictures/*.svg.

`--check` writes nothing and fails, naming the files, when one is not what it would be.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parent))

from demo_picture import demo
from drawing import Picture

FOLDER: Final = Path(__file__).resolve().parent.parent / "docs" / "pictures"


def service() -> str:
    """Draw how a service gets its address."""
    one = Picture(860, 400, title="How a service gets its address")
    one.group(190, 24, 480, 352, "the cluster")
    one.box(214, 60, 190, 62, "Service hello", "type: LoadBalancer")
    one.box(214, 170, 190, 62, "controller", "one per cluster")
    one.box(214, 286, 190, 62, "IPAddressPool", "192.168.111.11-19")
    one.box(456, 170, 190, 62, "speaker", "on every node", style="strong")
    one.box(456, 286, 190, 62, "pods", "that do the work")
    one.box(704, 170, 132, 62, "the network", "router, switch")
    one.box(704, 286, 132, 62, "a client")
    one.box(24, 60, 110, 62, "you")
    one.arrow((134, 91), (210, 91))
    one.number(172, 76, 1)
    one.arrow((309, 286), (309, 236))
    one.number(330, 261, 2)
    one.words(348, 266, "takes an address", style="soft")
    one.arrow((309, 170), (309, 126))
    one.number(330, 148, 3)
    one.words(348, 153, "writes it into the service", style="soft")
    one.arrow((404, 91), (551, 91), (551, 166))
    one.number(468, 91, 4)
    one.words(486, 82, "sees the address", style="soft")
    one.arrow((646, 201), (700, 201))
    one.number(673, 186, 5)
    one.words(676, 130, "5: announces it,", "by ARP, NDP or BGP", style="soft")
    one.arrow((770, 286), (770, 236), style="flow")
    one.arrow((704, 224), (650, 300), style="flow")
    one.number(673, 330, 6)
    one.words(688, 366, "6: traffic flows", style="soft")
    return one.svg()


def layer2() -> str:
    """Draw layer 2 before and after a node dies."""
    one = Picture(860, 400, title="Layer 2: one node answers, another one takes over")
    for left, title in ((16, "While all nodes live"), (438, "After node n1 has died")):
        one.group(left, 20, 406, 360)
        one.words(left + 18, 48, title, style="head")
        is_after = left > 16  # noqa: PLR2004 (the second half)
        one.box(left + 108, 66, 190, 50, "client", "who has 192.168.111.11?")
        one.rail(left + 22, 172, 362)
        one.words(left + 306, 160, "the network", style="soft")
        for index, node in enumerate(("n1", "n2", "n3")):
            is_owner = index == (1 if is_after else 0)
            is_gone = is_after and index == 0
            style = "strong" if is_owner else "gone" if is_gone else "box"
            word = "answers" if is_owner else "gone" if is_gone else "stays silent"
            one.box(left + 22 + 124 * index, 210, 114, 58, f"node {node}", word, style=style)
        owner = left + 79 + (124 if is_after else 0)
        one.arrow((left + 203, 116), (left + 203, 172), (owner, 172), (owner, 206), style="flow")
        one.box(left + 146, 314, 114, 46, "pods")
        one.arrow((owner, 268), (left + 190, 310), style="flow")
        if is_after:
            one.arrow((left + 79, 206), (left + 79, 182), style="lost")
    one.words(34, 340, "all its traffic", "enters by n1", style="soft")
    one.words(706, 312, "the others miss n1;", "n2 is the next", style="soft")
    return one.svg()


def bgp() -> str:
    """Draw BGP: all nodes announce, the router spreads."""
    one = Picture(860, 380, title="BGP: every node announces, the router spreads the connections")
    one.box(40, 150, 130, 60, "clients")
    one.box(282, 120, 190, 120, "router", "198.51.100.1", "by n1, by n2, by n3")
    one.arrow((170, 180), (278, 180), style="flow")
    one.group(600, 24, 236, 332, "the cluster")
    for index, node in enumerate(("n1", "n2", "n3")):
        top = 60 + 98 * index
        one.box(624, top, 188, 66, f"node {node}", "speaker and pods", style="strong")
        one.arrow((472, 162 + 16 * index), (620, top + 44), style="flow")
        one.arrow((624, top + 22), (474, 148 + 16 * index))
    one.words(282, 72, "“I reach 198.51.100.1”:", "each node tells it by BGP", style="soft")
    one.words(
        282,
        276,
        "The router has three equal ways",
        "and spreads connections over them.",
        style="soft",
    )
    one.arrow((40, 330), (84, 330))
    one.words(94, 335, "BGP: routes", style="soft")
    one.arrow((200, 330), (244, 330), style="flow")
    one.words(254, 335, "traffic", style="soft")
    return one.svg()


def processes() -> str:
    """Draw the processes and the rooms of the code inside them."""
    one = Picture(860, 470, title="The processes of MercuryLB, and the rooms of the code in them")
    one.group(24, 24, 250, 422, "controller (one acts)")
    one.box(48, 60, 202, 56, "webhook", "refuses what is wrong")
    one.box(48, 140, 202, 56, "plan + allocator", "which service, which address", style="strong")
    one.box(48, 220, 202, 56, "config", "objects to a configuration", style="strong")
    one.box(48, 300, 202, 56, "kube", "watches, writes")
    one.words(48, 392, "green: decides, and does", "no input or output itself", style="soft")
    one.box(318, 190, 170, 90, "API server", "services, pools,", "nodes, statuses")
    one.arrow((250, 320), (296, 320), (296, 252), (314, 252), both=True)
    one.arrow((318, 206), (296, 206), (296, 88), (254, 88), both=True)
    one.group(530, 24, 306, 422, "speaker (one on each node)")
    one.field(548, 54, 270, 164, "the brain")
    one.box(566, 86, 234, 50, "kube", "watches")
    one.box(566, 154, 234, 54, "plan", "who may announce what", style="strong")
    one.field(548, 246, 270, 184, "the announcer")
    one.box(562, 278, 132, 64, "layer2, bgp, bfd", "what is sent", style="strong")
    one.box(702, 278, 106, 64, "membership", "who lives", style="strong")
    one.box(566, 360, 234, 54, "net", "sockets: ARP, NDP, BGP, BFD")
    one.arrow((488, 222), (512, 222), (512, 112), (562, 112), both=True)
    one.arrow((690, 208), (690, 274))
    one.arrow((756, 274), (756, 212))
    one.words(684, 237, "what is wanted", style="soft", anchor="end")
    one.words(762, 237, "what is", style="soft")
    one.box(318, 360, 170, 54, "the network", "clients, routers, nodes")
    one.arrow((566, 387), (492, 387), style="flow", both=True)
    one.words(300, 440, "Without a brain the announcer", "goes on.", style="soft")
    return one.svg()


def pictures() -> dict[str, str]:
    """Give each file by its name."""
    return {
        "service.svg": service(),
        "layer2.svg": layer2(),
        "bgp.svg": bgp(),
        "processes.svg": processes(),
        "demo.svg": demo(),
    }


def main(arguments: list[str]) -> int:
    """Write the files, or say which are not current."""
    drawn = pictures()
    if "--check" in arguments:
        found = {path.name: path.read_text() for path in FOLDER.glob("*.svg")}
        names = sorted(one for one in drawn | found if drawn.get(one) != found.get(one))
        for name in names:
            print(f"docs/pictures/{name} is not what scripts/pictures draws")  # noqa: T201
        return 1 if names else 0
    FOLDER.mkdir(exist_ok=True)
    for name, text in drawn.items():
        (FOLDER / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

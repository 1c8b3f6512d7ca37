"""What may differ between our controller and MetalLB 0.16's, each difference by its name.

Pure.  The first picture is ours, the second one the original's.  A rule looks at one differing line
and says whether it is of its kind; a difference that no rule knows is a finding.  Every rule names
the row of docs/compatibility.md that it stands for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lab.compare import view
from lab.compare.play import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.compare.play import Before
    from lab.compare.view import Picture

_EVENT: Final = ": event "
_SEPARATOR: Final = " | "
WAITED: Final = "services waited in another order"
COMPETED: Final = "services competed for what not all of them could get"


@dataclass(frozen=True, slots=True)
class Line:
    """One entry that differs; None where a side has none."""

    about: str
    ours: str | None
    theirs: str | None
    pictures: tuple[Picture, Picture]

    @property
    def event(self) -> tuple[str, str, str] | None:
        """Return the head of an event (service, type and reason), its message, and whose it is."""
        owner, found, words = self.about.partition(_EVENT)
        if not found:
            return None
        kind, reason, message = words.split(_SEPARATOR, 2)
        return f"{owner}{_EVENT}{kind}{_SEPARATOR}{reason}{_SEPARATOR}", message, reason

    def messages(self, side: int) -> list[str]:
        """Return what one side said under the same head."""
        assert self.event is not None
        head = self.event[0]
        return [key.removeprefix(head) for key in self.pictures[side] if key.startswith(head)]


@dataclass(frozen=True, slots=True)
class Rule:
    """A known difference."""

    name: str
    row: str
    """The subject of the row in docs/compatibility.md."""
    knows: Callable[[Line], bool]


def _is_cause_added(line: Line) -> bool:
    """Our event says what theirs says, and more after it."""
    if line.event is None:
        return False
    message = line.event[1]
    if line.ours is not None:
        return any(_extends(message, theirs) for theirs in line.messages(1))
    return any(_extends(ours, message) for ours in line.messages(0))


def _extends(ours: str, theirs: str) -> bool:
    return ours.startswith((f"{theirs}: ", f"{theirs} ("))


def _is_nil_named(line: Line) -> bool:
    """They name an address that is not there, we say which family lacks."""
    if line.event is None:
        return False
    message, other = line.event[1], line.messages(0 if line.ours is None else 1)
    if line.ours is None:
        return "<nil>" in message and any(_names_family(text) for text in other)
    return _names_family(message) and any("<nil>" in text for text in other)


def _names_family(text: str) -> bool:
    return "no available IPs in pool" in text


def _is_mistake_told(line: Line) -> bool:
    """Both refuse the configuration; we tell every mistake, with object and field."""
    if not line.about.startswith("ConfigurationState: "):
        return False
    if line.ours is None or line.theirs is None:
        return False
    mark = "configuration error: "
    return mark in line.ours and mark in line.theirs


def _is_deprecation(line: Line) -> bool:
    """They tell it whenever they write into the service, we whenever there is news about it."""
    return line.event is not None and line.event[2] == "deprecatedAnnotation"


def _is_condition(line: Line) -> bool:
    """Only we write conditions into services."""
    return line.about.startswith("Service ") and ": condition " in line.about and not line.theirs


RULES: Final = (
    Rule("cause added", "event of a service that stays pending", _is_cause_added),
    Rule("family named", "a pool asked for by name that lacks the family", _is_nil_named),
    Rule("mistakes told", "invalid configuration", _is_mistake_told),
    Rule("deprecation", "event about a deprecated annotation", _is_deprecation),
    Rule("condition", "condition on the Service", _is_condition),
)


def judge(ours: Picture, theirs: Picture, before: Before) -> Verdict:
    """Judge that only what is known may differ."""
    lines = [
        Line(about, ours.get(about), theirs.get(about), (ours, theirs))
        for about in sorted(ours.keys() | theirs.keys())
        if ours.get(about) != theirs.get(about)
    ]
    unknown = {line.about for line in lines if not any(rule.knows(line) for rule in RULES)}
    if not unknown:
        return Verdict([])
    if stop := _order(unknown, ours, theirs, before):
        return Verdict([], stop=stop)
    return Verdict(
        view.differences(
            {about: text for about, text in ours.items() if about in unknown},
            {about: text for about, text in theirs.items() if about in unknown},
        )
    )


def _order(unknown: set[str], ours: Picture, theirs: Picture, before: Before) -> str:
    """Tell whether the order explains it in which several services were looked at.

    MetalLB 0.16 has them in the order of a hash map (row: looking at all services again). It does
    so only where two or more differ, and all of them had waited or lost what they had.
    """
    about = f": {view.ADDRESSES}"
    known = {key for key in (*ours, *theirs) if key.startswith("Service ") and key.endswith(about)}
    differing = known & unknown
    heads = tuple(f"{key.removesuffix(about)}:" for key in differing)
    if len(differing) < 2 or not all(  # noqa: PLR2004  (one has nobody to compete with)
        _has_moved(key, (ours, theirs), before) for key in differing
    ):
        return ""
    given = [
        sorted(" ".join(picture.get(key, "") for key in differing).split())
        for picture in (ours, theirs)
    ]
    is_same = given[0] == given[1]
    others = ("events of ",) if is_same else ("events of ", "IPAddressPool ")
    if not all(key.startswith((*heads, *others)) for key in unknown):
        return ""
    return WAITED if is_same else COMPETED


def _has_moved(key: str, now: tuple[Picture, Picture], before: Before) -> bool:
    """Tell whether a service lost or waited for its addresses on both sides."""
    pairs = zip(now, before.pictures, strict=True)
    return all(not then.get(key) or then.get(key) != at.get(key) for at, then in pairs)

"""A membership that does what a test says, and remembers what it was told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mercurylb.membership.disabled import DisabledMembership
from mercurylb.membership.member import DownReason, MemberDown, MemberUp, MemberView

if TYPE_CHECKING:
    from mercurylb.membership.member import MembershipEffect


class ScriptedMembership(DisabledMembership):
    """Everybody in `alive` is; `says` comes back from the next fact."""

    def __init__(self, node: str) -> None:
        super().__init__(node)
        self.alive = frozenset({node})
        self.told: list[tuple[object, ...]] = []
        self.says: list[MembershipEffect] = []
        self.seen: tuple[MemberView, ...] = ()
        self.refusals: dict[str, int] = {}

    def hear(self, *fact: object) -> list[MembershipEffect]:
        """Remember a fact, and say what is to be said."""
        self.told.append(fact)
        said, self.says = self.says, []
        return said

    def on_note(self, note: bytes, now: float) -> list[MembershipEffect]:
        """Remember the note."""
        del now
        return self.hear("note", note)

    def on_carrier(self, has_carrier: bool, now: float) -> list[MembershipEffect]:  # noqa: FBT001
        """Go down without a carrier, come up with one."""
        del now
        self.hear("carrier", has_carrier)
        self.alive = frozenset({self._node}) if has_carrier else frozenset()
        if has_carrier:
            return [MemberUp(self._node)]
        return [MemberDown(self._node, DownReason.ISOLATED)]

    def on_ready(self, is_ready: bool, now: float) -> list[MembershipEffect]:  # noqa: FBT001
        """Be up when ready."""
        self.hear("ready", is_ready)
        return super().on_ready(is_ready, now)

    def on_datagram(
        self, source: str, port: int, payload: bytes, now: float
    ) -> list[MembershipEffect]:
        """Remember the datagram."""
        del now
        return self.hear("datagram", source, port, payload)

    def on_refused(self, address: str, now: float) -> list[MembershipEffect]:
        """Remember the refusal."""
        del now
        return self.hear("refused", address)

    def on_kernel_answer(self, address: str, now: float) -> list[MembershipEffect]:
        """Remember the answer."""
        del now
        return self.hear("kernel", address)

    def on_request(
        self, source: str, message: object, now: float
    ) -> tuple[list[MembershipEffect], bytes | None]:
        """Reply with the source's name."""
        del now
        return self.hear("request", source, message), source.encode()

    def on_reply(self, exchange: int, message: object | None, now: float) -> list[MembershipEffect]:
        """Remember the reply."""
        del now
        return self.hear("reply", exchange, message)

    def live(self) -> frozenset[str] | None:
        """Return who is alive."""
        return self.alive if self._is_ready else frozenset()

    def views(self, now: float) -> tuple[MemberView, ...]:
        """Return the others."""
        del now
        return self.seen

    def counts(self) -> dict[str, int]:
        """Return what was refused."""
        return self.refusals

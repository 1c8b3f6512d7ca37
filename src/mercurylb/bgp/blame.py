"""Why there is no session, or why the last one ended."""

from __future__ import annotations


class Blame:
    """What an operator reads first.

    A session that was lost is tried again at once, and that may fail for another reason; the first
    one stays visible until there is a session again.
    """

    def __init__(self) -> None:
        self.words = ""
        self._lost = ""
        """Why the last session ended, as long as there is no other one."""

    def take(self, reason: str, *, is_light: bool) -> None:
        """Take a reason; a light one says only why an attempt led to nothing."""
        if not is_light:
            self._lost = reason
        is_told = is_light and self._lost
        self.words = f"{reason}; before: {self._lost}" if is_told else reason

    def forgive(self) -> None:
        """Note that there is a session: what remains is why the one before ended."""
        self.words, self._lost = self._lost, ""

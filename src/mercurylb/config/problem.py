"""What is wrong with which field of which object."""

from __future__ import annotations

import msgspec


class Problem(msgspec.Struct, frozen=True, order=True):
    """One mistake; its text is the same in the webhook, the status and the command line."""

    object: str
    """Kind and key, for example `IPAddressPool metallb/pool-a`."""
    field: str
    """Path inside the object, for example `spec.addresses[2]`; empty for the whole object."""
    value: str
    """What stands there, as text."""
    message: str
    hint: str = ""
    """What to do about it, if that is not obvious."""

    def __str__(self) -> str:
        """Give one line (the hint in brackets at its end)."""
        where = f"{self.object}: {self.field}" if self.field else self.object
        hint = f" ({self.hint})" if self.hint else ""
        return f"{where}: {self.message}{hint}"

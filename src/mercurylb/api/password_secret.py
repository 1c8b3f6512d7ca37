"""Secret, as far as a BGP peer's password goes; nothing else of it is read or kept.

The namespace of the configuration also has keys and certificates in secrets, which a speaker has no
business with.
"""

from __future__ import annotations

import msgspec

from mercurylb.api.meta import ObjectMeta
from mercurylb.api.secret import Secret


class SecretName(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """Which secret it is."""

    name: str = ""
    namespace: str = ""
    resource_version: str = ""


class PasswordData(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The one key that counts, in base64."""

    password: str | msgspec.UnsetType | None = msgspec.UNSET

    def __repr__(self) -> str:
        """Give nothing away."""
        return "PasswordData(<redacted>)"


class PasswordSecret(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A Secret that may hold a password."""

    metadata: SecretName = SecretName()
    type: str = ""
    data: PasswordData | None = None

    def widened(self) -> Secret:
        """Give it as a whole secret, with no other keys."""
        password = self.data.password if self.data else msgspec.UNSET
        return Secret(
            metadata=ObjectMeta(name=self.metadata.name, namespace=self.metadata.namespace),
            type=self.type,
            data=None if password is msgspec.UNSET else {"password": password},
        )

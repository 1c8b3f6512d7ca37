"""What is wrong with which field of which object.

The value itself stands beside the exception that carries it; this is its name for readers of
configuration.
"""

from __future__ import annotations

from mercurylb.errors import Problem

__all__ = ["Problem"]

"""What we call ourselves to a registry.

It must not know what is asked. HOT.
"""

from __future__ import annotations

import os

import pyrun


def user_agent(platform_ua: str = "") -> str:
    """Give the User-Agent header's value."""
    machine = os.uname()
    platform = platform_ua or f"{machine.sysname.lower()}; {machine.machine}"
    return f"pyrun/{pyrun.__version__} ({platform})"

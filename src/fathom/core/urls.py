"""URLs that may be shown and written down."""

from __future__ import annotations

import re


def without_password(url: str) -> str:
    """The URL, or a text with URLs in it, with *** for every password."""
    return re.sub(r"(://[^:/@]*):[^@/]*@", r"\1:***@", url)

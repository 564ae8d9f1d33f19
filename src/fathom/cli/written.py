"""What was written, as the command prints it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from fathom.inference.sampler import Written


def as_line(written: Written) -> str:
    """One JSON line."""
    told = {
        "prompt": written.prompt,
        "text": written.text,
        "tokens": len(written.tokens),
        "ended": written.ended,
    }
    return msgspec.json.encode(told).decode()


def as_text(written: Written, place: int, count: int) -> str:
    """Prompt and text; of several each under a line with its number."""
    heading = f"--- {place + 1} of {count} ---\n" if count > 1 else ""
    return f"{heading}{written.prompt}{written.text}"

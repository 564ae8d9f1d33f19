"""The templates: HTML with everything escaped, and Markdown with what is special in it escaped."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from fathom.core.budget import format_duration
from fathom.report import words

# Nothing but a plain picture may come in as a URI: no SVG, which can hold scripts, no address.
_IMAGE = re.compile(r"data:image/(?:png|jpeg);base64,[A-Za-z0-9+/=]+\Z")
_OPTION = re.compile(r"(?<!\S)(--[a-z][\w-]*(?: (?:network|baseline))?)")
_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>|#])")


def safe_image(uri: str | None) -> str:
    """A PNG or JPEG data URI as it is; an empty string for anything else."""
    return uri if uri and _IMAGE.match(uri) else ""


def oneline(text: object) -> str:
    """A text without line breaks."""
    return " ".join(str(text).split())


def markdown(text: object) -> str:
    """Text that Markdown shows as it is, on one line."""
    return _MARKDOWN.sub(r"\\\1", oneline(text))


def code(text: object) -> str:
    """A Markdown code span; backticks within it become straight quotes."""
    return f"`{oneline(text).replace('`', chr(39))}`"


def prose(text: object) -> Markup:
    """A sentence for the page: escaped, options as code, percent signs kept to their numbers."""
    safe = str(escape(str(text)))
    safe = re.sub(r"(?<=\d) %", "\u00a0%", safe)
    safe = re.sub(r"(?<![\w.&;-])-(?=\d)", "−", safe)
    return Markup(_OPTION.sub(r"<code>\1</code>", safe))


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("fathom.report"),
        autoescape=lambda name: name is None or not name.endswith(".md"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        image=safe_image,
        markdown=markdown,
        code=code,
        oneline=oneline,
        duration=format_duration,
        number=words.number,
        prose=prose,
        sentence=words.sentence_case,
        value=words.record_value,
        interval=words.record_interval,
    )
    return environment


def render(template: str, **context: Any) -> Markup:
    """A template filled in. HTML comes back escaped already, so that it can be put into another."""
    return Markup(_environment().get_template(template).render(**context))

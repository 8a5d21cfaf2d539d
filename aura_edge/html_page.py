"""Results as one HTML file: without scripts, and its own policy forbids it to load anything from anywhere."""

from __future__ import annotations

from html import escape

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def document(title: str, style: str, body: str) -> str:
    """A whole page. `title` is text and escaped here; `style` is CSS and `body` HTML, whose texts the caller has escaped."""
    head = (
        f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{escape(title)}</title><style>{style}</style>'
    )
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>{body}</body></html>\n'

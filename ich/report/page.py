"""One HTML page that stands alone: pictures inside, no script, nothing from the network, every word escaped."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from ich.errors import InputError

STYLE = """\
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, "Segoe UI", Helvetica, Arial, sans-serif; color: #1f2328; background: #fff;
       max-width: 52rem; margin: 2.5rem auto; padding: 0 1.25rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .5rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 0 0 .75rem; }
p { margin: .5rem 0; overflow-wrap: anywhere; }
nav ol { columns: 2; padding-left: 1.4rem; margin: 1.25rem 0; }
nav a { color: #1d4f7c; }
table { border-collapse: collapse; margin: 1.25rem 0; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .2rem 1.25rem .2rem 0; border-bottom: 1px solid #d5dae0; vertical-align: top; }
td.number, th.number { text-align: right; }
td.number { white-space: pre; }
.wide { overflow-x: auto; }
.wide table { font-size: .85rem; line-height: 1.3; margin-top: 0; }
.wide th, .wide td { padding-right: .9rem; }
section { border-top: 1px solid #d5dae0; margin-top: 2.25rem; padding-top: 1.5rem; break-inside: avoid; }
figure { margin: 0; }
img { display: block; max-width: 100%; height: auto; }
figcaption { color: #3d4650; font-size: .92rem; margin-top: .75rem; overflow-wrap: anywhere; }
"""
KINDS_OF_PICTURE = {".svg": "image/svg+xml", ".png": "image/png"}


class BadOutput(InputError):
    """A folder that cannot be written to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A picture, a table or both, under a title and over what they say; `rows` begin with a header."""

    title: str
    caption: str
    picture: Path | None = None
    rows: Sequence[Sequence[str]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """`lead` are paragraphs, `facts` a table of two columns, `counts` one with a header, numbers from its second on."""

    title: str
    lead: Sequence[str]
    facts: Mapping[str, str]
    counts: Sequence[Sequence[str]]
    sections: Sequence[Section]


def render(page: Page) -> str:
    """The whole page as HTML."""
    contents = "".join(f'<li><a href="#{_anchor(one)}">{escape(one.title)}</a></li>' for one in page.sections)
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<link rel="icon" href="data:,">',
        f"<title>{escape(page.title)}</title>",
        f"<style>\n{STYLE}</style></head><body>",
        f"<h1>{escape(page.title)}</h1>",
        *(f"<p>{escape(words)}</p>" for words in page.lead),
        "<table>",
        *(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in page.facts.items()),
        "</table>",
        *_table(page.counts),
        f"<nav><ol>{contents}</ol></nav>",
        *(_section(one) for one in page.sections),
        "</body></html>",
    ]
    return "\n".join(parts) + "\n"


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    lines = []
    for place, row in enumerate(rows):
        tag = "td" if place else "th"
        first, *rest = row
        cells = "".join(f'<{tag} class="number">{escape(cell)}</{tag}>' for cell in rest)
        lines.append(f"<tr><th>{escape(first)}</th>{cells}</tr>")
    return ["<table>", *lines, "</table>"]


def _section(one: Section) -> str:
    return "".join(
        [
            f'<section id="{_anchor(one)}"><h2>{escape(one.title)}</h2><figure>',
            _picture(one.title, one.picture) if one.picture else "",
            f'<div class="wide">{"".join(_table(one.rows))}</div>' if one.rows else "",
            f"<figcaption>{escape(one.caption)}</figcaption></figure></section>",
        ]
    )


def _picture(title: str, file: Path) -> str:
    content = base64.b64encode(file.read_bytes()).decode()
    return f'<img alt="{escape(title)}" src="data:{KINDS_OF_PICTURE[file.suffix]};base64,{content}">'


def _anchor(one: Section) -> str:
    return escape(one.picture.stem if one.picture else one.title.lower().replace(" ", "_"))

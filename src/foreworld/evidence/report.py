"""One HTML file that tells what was found, how, and where not to trust it. It opens offline and runs nothing."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.metadata import PackageNotFoundError, version
from os import PathLike
from platform import machine, python_version, system

from foreworld.durable import write_bytes

STYLE = """
:root { color-scheme: light dark; --ink: #1f2328; --soft: #59636e; --page: #ffffff; --card: #f6f8fa; --line: #d1d9e0; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --soft: #9198a1; --page: #0d1117; --card: #161b22; --line: #30363d; }
}
body { margin: 0 auto; max-width: 60rem; padding: 2rem 1rem 4rem; background: var(--page); color: var(--ink);
  font: 1rem/1.55 system-ui, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .5rem; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 .5rem; border-bottom: 1px solid var(--line); padding-bottom: .25rem; }
.summary { font-size: 1.15rem; color: var(--soft); margin: 0 0 1.5rem; }
figure { margin: 1rem 0; }
figure img { display: block; max-width: 100%; height: auto; background: #ffffff; border-radius: 6px; padding: .5rem;
  box-sizing: border-box; }
figcaption, caption { color: var(--soft); font-size: .9rem; text-align: left; margin-top: .4rem; caption-side: bottom; }
.scroll { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .35rem .8rem .35rem 0; border-bottom: 1px solid var(--line); white-space: nowrap; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1.2rem; font-size: .92rem; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
code { font-family: ui-monospace, monospace; font-size: .9em; }
.caveats { background: var(--card); border: 1px solid var(--line); border-radius: 6px; padding: .2rem 1.2rem; }
@media (max-width: 36rem) { dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: .5rem; } }
"""
# Nothing may be fetched and nothing may run, even if a text that was shown should ever escape its escaping.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


@dataclass(frozen=True)
class Table:
    """Rows with the same keys, which head the columns; the caption says what the numbers are."""

    rows: Sequence[Mapping[str, str]]
    caption: str = ""


@dataclass(frozen=True)
class Picture:
    """A PNG file with a caption, and words for those who cannot see it."""

    png: bytes
    caption: str
    alt: str


@dataclass(frozen=True)
class Section:
    """A heading, and beneath it paragraphs (plain strings), tables and pictures."""

    heading: str
    content: Sequence[str | Table | Picture]


@dataclass(frozen=True)
class Report:
    """What was found. Every string is plain text and shown as it is.

    Attributes:
        title: of the page.
        summary: the finding, in a sentence.
        sections: what supports it.
        made: how to make it again: the command, versions, seeds, a hash of the data, the simulator.
        caveats: what the reader must not conclude.
    """

    title: str
    summary: str
    sections: Sequence[Section]
    made: Mapping[str, str] = field(default_factory=dict)
    caveats: Sequence[str] = ()

    def html(self) -> str:
        """The page."""
        body = [f"<h1>{escape(self.title)}</h1>", f'<p class="summary">{escape(self.summary)}</p>']
        for section in self.sections:
            body.append(f"<h2>{escape(section.heading)}</h2>")
            body += [_block(block) for block in section.content]
        if self.caveats:
            items = "".join(f"<li>{escape(caveat)}</li>" for caveat in self.caveats)
            body.append(f'<h2>Limits</h2>\n<div class="caveats"><ul>{items}</ul></div>')
        if self.made:
            items = "".join(f"<dt>{escape(k)}</dt><dd><code>{escape(v)}</code></dd>" for k, v in self.made.items())
            body.append(f"<h2>How this was made</h2>\n<dl>{items}</dl>")
        head = (
            f'<meta charset="utf-8">\n<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{escape(self.title)}</title>\n<style>{STYLE}</style>"
        )
        page = "\n".join(body)
        return f'<!doctype html>\n<html lang="en">\n<head>\n{head}\n</head>\n<body>\n{page}\n</body>\n</html>\n'

    def write(self, path: str | PathLike[str]) -> None:
        """Write the page, whole or not at all.

        Raises:
            ArtifactError: it cannot be written there.
        """
        write_bytes(str(path), self.html().encode())


def _block(block: str | Table | Picture) -> str:
    if isinstance(block, Picture):
        data = base64.b64encode(block.png).decode()
        image = f'<img src="data:image/png;base64,{data}" alt="{escape(block.alt)}">'
        return f"<figure>{image}<figcaption>{escape(block.caption)}</figcaption></figure>"
    if isinstance(block, Table):
        names = list(block.rows[0]) if block.rows else []
        head = "".join(f"<th>{escape(name)}</th>" for name in names)
        rows = "".join(
            "<tr>" + "".join(f"<td>{escape(row[name])}</td>" for name in names) + "</tr>\n" for row in block.rows
        )
        caption = f"<caption>{escape(block.caption)}</caption>" if block.caption else ""
        return (
            f'<div class="scroll"><table>{caption}<thead><tr>{head}</tr></thead>\n<tbody>{rows}</tbody></table></div>'
        )
    return f"<p>{escape(block)}</p>"


def versions() -> dict[str, str]:
    """Of Python, the machine's kind, and the packages that numbers depend on: entries for `Report.made`."""
    found = {"python": python_version(), "machine": f"{system()} {machine()}"}
    for package in ("foreworld", "torch", "numpy"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed as a package"
    return found

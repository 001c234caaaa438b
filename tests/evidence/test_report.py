"""A report stands alone: nothing outside is asked for, nothing in it runs, nothing in it is half there."""

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from foreworld.errors import ArtifactError
from foreworld.evidence.report import Picture, Report, Section, Table, versions

NASTY = "<script>alert('x')</script>\" onload=\"y & <b>"
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


class Page(HTMLParser):
    """Elements with their attributes, and all text, in order; every element must be closed."""

    def __init__(self, text: str):
        super().__init__()
        self.elements, self.words, self.open = [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def report(text: str) -> Report:
    table = Table([{text: text, "b": "1"}, {text: "2", "b": text}], caption=text)
    section = Section(text, [text, table, Picture(PNG, caption=text, alt=text)])
    return Report(text, text, [section], made={text: text} | versions(), caveats=[text])


def test_it_asks_for_nothing_outside_and_runs_nothing():
    html = report("plain").html()
    page = Page(html)
    assert not re.search(r"https?:|//|url\(|@import|<script|javascript:", html.split("base64,")[0])
    assert {name for name, _ in page.elements}.isdisjoint({"script", "link", "iframe", "object"})
    policy = next(a["content"] for tag, a in page.elements if tag == "meta" and "http-equiv" in a)
    assert policy.startswith("default-src 'none'")


def test_names_cannot_become_markup():
    plain, nasty = Page(report("plain").html()), Page(report(NASTY).html())
    assert [tag for tag, _ in nasty.elements] == [tag for tag, _ in plain.elements]
    assert [set(attributes) for _, attributes in nasty.elements] == [
        set(attributes) for _, attributes in plain.elements
    ]
    # As often as the plain text was shown, the nasty one is: as text.
    assert nasty.words.count(NASTY) == plain.words.count("plain") > 8


def test_pictures_are_in_the_page_bit_by_bit():
    image = next(attributes for tag, attributes in Page(report("plain").html()).elements if tag == "img")
    assert base64.b64decode(image["src"].removeprefix("data:image/png;base64,")) == PNG
    assert image["alt"] == "plain"


def test_it_says_how_it_was_made_and_where_not_to_trust_it():
    words = " ".join(Page(report("caution").html()).words)
    assert "How this was made" in words and "Limits" in words and "numpy" in words


def test_it_is_written_whole_or_not_at_all(tmp_path: Path):
    path = tmp_path / "report.html"
    report("plain").write(path)
    assert path.read_text(encoding="utf-8") == report("plain").html()
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(ArtifactError):
        report("plain").write(path / "inside-a-file.html")

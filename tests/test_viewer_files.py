"""The viewer's files: what a strict browser and a reader of the licence must find in them."""

import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tracker.axes import AXES
from tracker.sinks.drawing import SIDE_COLOURS
from tracker.web.pages import VIEWER

THREE_SHA256 = "b6387d41fa416d849b6fe54436841a28ca49112275cf6d74b69056684c2c5522"
PROJECT = Path(__file__).resolve().parents[1]
OURS = sorted(
    file for file in VIEWER.iterdir() if file.suffix in {".js", ".css", ".html"} and "three" not in file.name
)


class Page(HTMLParser):
    """Notes the elements that a page names, and what a policy without `unsafe-inline` forbids."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.inline: list[str] = []
        self.names: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = dict(attributes)
        self.inline += [f"{tag} {name}" for name in values if name == "style" or name.startswith("on")]
        if tag == "style" or (tag == "script" and "src" not in values):
            self.inline.append(tag)
        if values.get("id") is not None:
            self.names.add(str(values["id"]))


def test_three_is_what_its_script_makes_and_comes_with_its_licence() -> None:
    assert hashlib.sha256((VIEWER / "three.min.js").read_bytes()).hexdigest() == THREE_SHA256
    assert "Copyright" in (VIEWER / "three.LICENSE.txt").read_text()
    version = re.search(r"three_version=(\S+)", (PROJECT / "tools" / "bundle_three.sh").read_text())
    assert version is not None
    assert f"three.js {version[1]}" in (PROJECT / "NOTICE").read_text()
    assert f"three.js {version[1]}" in (VIEWER / "three.min.js").read_text()[:200]


@pytest.mark.parametrize("file", OURS, ids=lambda file: file.name)
def test_nothing_is_fetched_from_elsewhere(file: Path) -> None:
    text = file.read_text().replace("http://www.w3.org/2000/svg", "")  # a name, not an address
    assert not re.search(r"(https?:|['\"(])//\w|@import", text)


@pytest.mark.parametrize(
    "file", [file for file in OURS if file.suffix == ".html"], ids=lambda file: file.name
)
def test_pages_hold_no_inline_script_style_or_handler(file: Path) -> None:
    assert Page(file.read_text()).inline == []


def test_the_scripts_find_every_element_they_name() -> None:
    known = Page((VIEWER / "index.html").read_text()).names
    for file in OURS:
        if file.suffix == ".js" and not file.name.startswith("camera"):
            named = set(re.findall(r'\belement\("([^"]+)"\)', file.read_text()))
            assert named <= known, file.name


def test_hands_have_the_colours_of_overlay_videos() -> None:
    script = (VIEWER / "colours.js").read_text()
    for side, colour in SIDE_COLOURS.items():
        assert f"{side.name} = [{', '.join(map(str, colour))}]" in script


def test_all_axes_are_known() -> None:
    table = re.search(r"SIGNS_BY_AXES = \{(.*?)\}", (VIEWER / "messages.js").read_text(), re.DOTALL)
    assert table is not None
    written = {
        name: tuple(float(sign) for sign in signs.split(","))
        for name, signs in re.findall(r"(\w+): \[([^\]]+)\]", table[1])
    }
    to_scene = (1.0, -1.0, -1.0)  # from OpenCV's axes to +x right, +y up, -z ahead
    assert written == {
        name: tuple(a * b for a, b in zip(axes.signs, to_scene, strict=True)) for name, axes in AXES.items()
    }

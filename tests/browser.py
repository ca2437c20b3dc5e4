"""A real headless Chromium, and pages of it that note everything a page should not do."""

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from scripted_runs import PATIENCE_S

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--enable-unsafe-swiftshader",
)


@contextmanager
def chromium(*arguments: str) -> Iterator[Any]:
    """A browser, started with further ``arguments``; skips the test where there is none."""
    playwright = pytest.importorskip("playwright.sync_api")
    path = next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    if path is None:
        pytest.skip(f"no browser is installed: none of {', '.join(CHROMIUM_NAMES)}")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=path, args=[*ARGUMENTS, *arguments])
        yield browser
        browser.close()


class Viewer:
    """One page of the viewer.

    Scripts are run by the debugger, as the page's own policy forbids `eval`.
    """

    def __init__(self, context: Any, url: str) -> None:
        self.page = context.new_page()
        self.complaints: list[str] = []
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", lambda message: self._note(message.type, message.text))
        self.page.on("request", lambda request: self._check(request.url, url))
        self.page.goto(url)

    def value(self, script: str) -> Any:
        """What ``script`` comes to in the page."""
        return self.page.evaluate(script)

    def text(self, name: str) -> str:
        """The text of the element of that id."""
        text: str = self.page.inner_text(f"#{name}")
        return text

    def until(self, script: str) -> None:
        """Wait until ``script`` is true in the page."""
        end_s = time.monotonic() + PATIENCE_S
        while not self.page.evaluate(script):
            assert time.monotonic() < end_s, f"never came true: {script}"
            self.page.wait_for_timeout(20)

    def until_text(self, name: str, pattern: str) -> None:
        """Wait until the text of an element matches ``pattern``."""
        self.until(f"/{pattern}/.test(document.getElementById('{name}').textContent)")

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def drop(self, name: str, text: str) -> None:
        """Drop a file on the page."""
        script = """([name, text]) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([text], name));
            return transfer;
        }"""
        transfer = self.page.evaluate_handle(script, [name, text])
        self.page.dispatch_event("body", "dragover", {"dataTransfer": transfer})
        self.page.dispatch_event("body", "drop", {"dataTransfer": transfer})

    def picture_pixel(self, x: float, y: float) -> list[int]:
        """Red, green and blue of the overlay's canvas at CSS pixels from its corner."""
        script = """([x, y]) => [...document.getElementById("picture").getContext("2d").getImageData(
            Math.floor(x * devicePixelRatio), Math.floor(y * devicePixelRatio), 1, 1).data].slice(0, 3)"""
        pixel: list[int] = self.page.evaluate(script, [x, y])
        return pixel

    def call(self, function: str, *values: object) -> Any:
        """Call a function of the page's hook."""
        return self.value(f"handTracker.{function}({', '.join(map(json.dumps, values))})")

    def _note(self, kind: str, text: str) -> None:
        if kind == "error":
            self.complaints.append(text)

    def _check(self, asked: str, ours: str) -> None:
        origin = ours.split("#")[0].rstrip("/")
        if not asked.startswith((origin, origin.replace("http", "ws"), "data:", "blob:")):
            self.complaints.append(f"asked for {asked}")

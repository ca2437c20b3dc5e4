"""The page of a camera in a real headless Chromium, whose camera shows the demo clip, with `run_live.py`."""

import io
import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import pytest
from scripted_runs import PATIENCE_S

from tracker.sources import MODELS_DIRECTORY

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
if CHROMIUM is None:
    pytest.skip("there is no chromium", allow_module_level=True)

ROOT = Path(__file__).resolve().parents[1]
TOKEN = "correct horse"
PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo clip's middle as Chromium's fake camera takes it; both hands are in view throughout."""
    path = tmp_path_factory.mktemp("clip") / "demo.mjpeg"
    with av.open(MODELS_DIRECTORY / "demo.mp4") as container, path.open("wb") as file:
        for k, picture in enumerate(container.decode(video=0)):
            if 60 <= k < 120:
                jpeg = io.BytesIO()
                picture.to_image().save(jpeg, "JPEG", quality=85)
                file.write(jpeg.getvalue())
    return path


@contextmanager
def tracking(folder: Path, *options: str) -> Iterator[str]:
    """A running tracker whose source is a browser: the server's address."""
    said = folder / "said.txt"
    command = [sys.executable, "run_live.py", "--source", "browser", *options]
    with said.open("w") as file, subprocess.Popen(command, cwd=ROOT, stderr=file) as process:
        try:
            end_s = time.monotonic() + PATIENCE_S
            while (match := re.search(r"--serve listens at (\S+)\n", said.read_text())) is None:
                assert process.poll() is None and time.monotonic() < end_s, said.read_text()
                time.sleep(0.02)
            yield match[1]
            assert process.poll() is None, said.read_text()
        finally:
            process.terminate()
            status = process.wait(PATIENCE_S)
    assert status == 0, said.read_text()


@contextmanager
def browser(clip: Path | None, **context: Any) -> Iterator[Any]:
    """A page of a browser that allows its camera, if it has one; errors in the page fail the test."""
    arguments = [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--use-fake-ui-for-media-stream",
    ]
    if clip is not None:
        arguments += ["--use-fake-device-for-media-stream", f"--use-file-for-fake-video-capture={clip}"]
    errors: list[str] = []
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        try:
            page = chromium.new_context(viewport=PHONE, **context).new_page()
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.on("console", lambda said: "Content Security" in said.text and errors.append(said.text))
            yield page
        finally:
            chromium.close()
    assert errors == []


def wait_for(page: Any, condition: str) -> None:
    """Wait until JavaScript's ``condition`` holds."""
    page.wait_for_function(f"() => {condition}", timeout=1e3 * PATIENCE_S)


def coloured(page: Any) -> dict[str, int]:
    """How many of the stage's pixels have the colours of a left and of a right hand's bones."""
    count: dict[str, int] = page.evaluate(
        """() => {
            const stage = document.getElementById("stage");
            const { data } = stage.getContext("2d").getImageData(0, 0, stage.width, stage.height);
            const near = (k, r, g, b) =>
                Math.abs(data[k] - r) + Math.abs(data[k + 1] - g) + Math.abs(data[k + 2] - b) < 20;
            const count = { left: 0, right: 0 };
            for (let k = 0; k < data.length; k += 4) {
                if (near(k, 255, 176, 46)) count.left += 1;
                if (near(k, 72, 200, 255)) count.right += 1;
            }
            return count;
        }"""
    )
    return count


def frames_of(recording: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The headers and the frames of a JSON-lines recording."""
    messages = [json.loads(line) for line in recording.read_text(encoding="utf-8").splitlines()]
    return [m for m in messages if m["type"] == "header"], [m for m in messages if m["type"] == "frame"]


def test_hands_come_back_to_the_page_that_sends_its_camera(clip, tmp_path):
    recording = tmp_path / "hands.jsonl"
    with (
        tracking(tmp_path, "--serve", "127.0.0.1:0", "--record", str(recording)) as url,
        browser(clip) as page,
    ):
        page.goto(f"{url}camera")
        began_s = time.monotonic()
        page.click("#start")
        wait_for(page, "document.getElementById('hands').textContent === 'left and right'")
        wait_for(page, "parseInt(document.getElementById('rate').textContent) >= 5")
        latency_ms = int(re.match(r"\d+", page.inner_text("#latency"))[0])
        seen = coloured(page)
        page.click("#start")
        assert page.inner_text("#message") == "Stopped."
        ended_s = time.monotonic()
    assert 0 <= latency_ms < 1e3 * (ended_s - began_s)
    assert seen["left"] > 200 and seen["right"] > 200
    headers, frames = frames_of(recording)
    assert headers[0]["source"] == "browser"
    assert (headers[0]["camera"]["width"], headers[0]["camera"]["height"]) == (1280, 720)
    assert "127.0.0.1" not in recording.read_text(encoding="utf-8")
    times = [frame["capture_time_s"] for frame in frames]
    assert times == sorted(set(times))
    assert began_s <= times[0] and times[-1] <= ended_s
    both = [frame for frame in frames if {hand["side"] for hand in frame["hands"]} == {"left", "right"}]
    assert len(both) > 0.5 * len(frames)
    left, right = (
        next(hand["joints_px"][0][0] for hand in both[-1]["hands"] if hand["side"] == side)
        for side in ("left", "right")
    )
    assert left < 640 < right  # the sent picture is not mirrored


def test_by_tls_the_page_needs_the_token(clip, tmp_path):
    certificate, key = make_certificate(tmp_path)
    options = ("--serve", "0.0.0.0:0", "--token", TOKEN, "--tls", str(certificate), str(key))
    with tracking(tmp_path, *options) as url, browser(clip, ignore_https_errors=True) as page:
        assert url.startswith("https://")
        page.goto(f"{url}camera")
        page.click("#start")
        wait_for(page, "document.getElementById('message').textContent.startsWith('The token is')")
        assert page.is_visible("#token")
        page.fill("#token", TOKEN)
        page.click("#start")
        wait_for(page, "document.getElementById('hands').textContent === 'left and right'")
        page.goto("about:blank")
        page.goto(f"{url}camera#token={TOKEN.replace(' ', '%20')}")
        page.click("#start")
        wait_for(page, "document.getElementById('hands').textContent === 'left and right'")


def test_the_page_sends_video_by_webrtc(clip, tmp_path):
    pytest.importorskip("aiortc")
    with tracking(tmp_path, "--serve", "127.0.0.1:0") as url, browser(clip) as page:
        page.goto(f"{url}camera")
        page.click("#start")
        wait_for(page, "!document.querySelector('#way [value=webrtc]').disabled")
        page.select_option("#way", "webrtc")
        wait_for(page, "document.getElementById('latency').textContent.includes('from arrival')")
        wait_for(page, "document.getElementById('hands').textContent === 'left and right'")


def test_a_page_that_is_not_secure_or_has_no_camera_says_so(clip, tmp_path):
    with tracking(tmp_path, "--serve", "127.0.0.1:0") as url:
        with browser(clip) as page:
            # Another name of this machine that browsers do not count as secure.
            page.add_init_script("Object.defineProperty(window, 'isSecureContext', { value: false })")
            page.goto(f"{url}camera")
            assert "--tls" in page.inner_text("#message")
            assert page.is_disabled("#start")
        with browser(None) as page:
            page.goto(f"{url}camera")
            page.click("#start")
            wait_for(page, "document.getElementById('message').classList.contains('bad')")
            assert "no such camera" in page.inner_text("#message")
            assert page.inner_text("#start") == "Start camera"


def test_the_page_tells_of_another_camera_and_of_a_lost_tracker_and_comes_back(clip, tmp_path):
    with browser(clip) as page:
        with tracking(tmp_path, "--serve", "127.0.0.1:0") as url:
            page.goto(f"{url}camera")
            page.click("#start")
            wait_for(page, "document.getElementById('hands').textContent !== ''")
            other = page.context.new_page()
            other.goto(f"{url}camera")
            other.click("#start")
            wait_for(other, "document.getElementById('message').textContent.startsWith('Another camera')")
            assert other.inner_text("#hands") == ""  # those that are found are of the first one
            page.close()
            wait_for(other, "document.getElementById('hands').textContent !== ''")
        wait_for(other, "document.getElementById('message').textContent.includes('is lost')")
        with tracking(tmp_path, "--serve", re.sub(r".*//(.*)/", r"\1", url)):
            wait_for(other, "document.getElementById('hands').textContent !== ''")


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for this machine and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate")
    certificate, key = folder / "cert.pem", folder / "key.pem"
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost "
        "-addext subjectAltName=DNS:localhost,IP:127.0.0.1"
    )
    command_line = [*command.split(), "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command_line, check=True, capture_output=True)
    return certificate, key

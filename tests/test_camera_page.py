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
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import av
import pytest
from browser import chromium
from scripted_runs import PATIENCE_S
from web_server import skip_without_network, wait_until

from tracker.sources import MODELS_DIRECTORY

ROOT = Path(__file__).resolve().parents[1]
START_S = 4 * PATIENCE_S
"""A busy machine takes its time to load libraries and networks."""
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
            end_s = time.monotonic() + START_S
            while (match := re.search(r"--serve listens at (\S+)\n", said.read_text())) is None:
                assert process.poll() is None and time.monotonic() < end_s, said.read_text()
                time.sleep(0.02)
            yield match[1]
            assert process.poll() is None, said.read_text()
        finally:
            process.terminate()
            status = process.wait(PATIENCE_S)
    assert status == 0, said.read_text()


@dataclass(frozen=True)
class Tracker:
    """A tracker that several tests use, one page after the other."""

    url: str
    recording: Path

    def messages(self) -> list[dict[str, Any]]:
        """All that was recorded so far."""
        return [json.loads(line) for line in self.recording.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tracker]:
    folder = tmp_path_factory.mktemp("tracker")
    recording = folder / "hands.jsonl"
    options = ("--record", str(recording), "--allow-origin", "http://insecure.test")
    with tracking(folder, "--serve", "127.0.0.1:0", *options) as url:
        yield Tracker(url, recording)


@pytest.fixture(scope="module")
def camera_browser(clip: Path) -> Iterator[Any]:
    """A browser that allows its camera, which shows the clip."""
    arguments = (
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-video-capture={clip}",
        "--host-resolver-rules=MAP insecure.test 127.0.0.1",
    )
    with chromium(*arguments) as browser:
        yield browser


@contextmanager
def page_of(browser: Any, **context: Any) -> Iterator[Any]:
    """A page on a phone's screen; an error in it fails the test."""
    errors: list[str] = []
    with browser.new_context(viewport=PHONE, **context) as browsing:
        page = browsing.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda said: "Content Security" in said.text and errors.append(said.text))
        yield page
    assert errors == []


def wait_for(page: Any, condition: str) -> None:
    """Wait until JavaScript's ``condition`` holds."""
    page.wait_for_function(f"() => {condition}", timeout=1e3 * PATIENCE_S)


SHOWS_BOTH = "document.getElementById('hands').textContent === 'left and right'"
DRAWS_BOTH = """(() => {
    const stage = document.getElementById("stage");
    const { data } = stage.getContext("2d").getImageData(0, 0, stage.width, stage.height);
    const near = (k, r, g, b) =>
        Math.abs(data[k] - r) + Math.abs(data[k + 1] - g) + Math.abs(data[k + 2] - b) < 20;
    const count = { left: 0, right: 0 };
    for (let k = 0; k < data.length; k += 4) {
        if (near(k, 255, 176, 46)) count.left += 1;
        if (near(k, 72, 200, 255)) count.right += 1;
    }
    return count.left > 200 && count.right > 200;
})()"""
"""The stage has pixels in the colours of a left and of a right hand's bones, in one picture."""


def test_hands_come_back_to_the_page_that_sends_its_camera(camera_browser, tracker):
    with page_of(camera_browser) as page:
        page.goto(f"{tracker.url}camera")
        began_s = time.monotonic()
        page.click("#start")
        wait_for(page, SHOWS_BOTH)
        wait_for(page, DRAWS_BOTH)
        wait_for(page, "parseInt(document.getElementById('rate').textContent) >= 5")
        latency_ms = int(re.match(r"\d+", page.inner_text("#latency"))[0])
        page.click("#start")
        assert page.inner_text("#message") == "Stopped."
        ended_s = time.monotonic()
    assert 0 <= latency_ms < 1e3 * (ended_s - began_s)
    header, *frames = (m for m in tracker.messages() if m["type"] in ("header", "frame"))
    assert header["source"] == "browser"
    assert (header["camera"]["width"], header["camera"]["height"]) == (1280, 720)
    assert "127.0.0.1" not in tracker.recording.read_text(encoding="utf-8")
    times = [frame["capture_time_s"] for frame in frames]
    assert times == sorted(set(times))
    assert began_s <= times[0] and times[-1] <= ended_s
    both = [frame for frame in frames if {hand["side"] for hand in frame["hands"]} == {"left", "right"}]
    assert len(both) > 0.5 * len(frames)
    wrists = {hand["side"]: hand["joints_px"][0][0] for hand in both[-1]["hands"]}
    assert wrists["left"] < 640 < wrists["right"]  # the picture that was sent is not mirrored


TURNED_AFTER_A_SECOND = """
    navigator.mediaDevices.getUserMedia = async () => {
        const canvas = Object.assign(document.createElement("canvas"), { width: 640, height: 360 });
        const context = canvas.getContext("2d");
        const began = performance.now();
        setInterval(() => {
            if (performance.now() - began > 1000 && canvas.width === 640)
                [canvas.width, canvas.height] = [360, 640];
            context.fillStyle = `hsl(${performance.now() % 360} 50% 50%)`;
            context.fillRect(0, 0, canvas.width, canvas.height);
        }, 33);
        return canvas.captureStream(30);
    };
"""


def test_turning_the_phone_gives_another_camera_with_the_same_lens(camera_browser, tracker):
    with page_of(camera_browser) as page:
        page.add_init_script(TURNED_AFTER_A_SECOND)
        page.goto(f"{tracker.url}camera")
        page.click("#start")
        wait_for(page, "document.getElementById('stage').width === 360")
        wait_until(lambda: sizes_of(tracker)[-2:] == [(640, 360), (360, 640)])
    first, second = (
        m["camera"] for m in tracker.messages() if m["type"] == "header" and m["camera"]["width"] < 1280
    )
    assert (first["fx"], first["fy"]) == (second["fx"], second["fy"])


def sizes_of(tracker: Tracker) -> list[tuple[int, int]]:
    headers = [message for message in tracker.messages() if message["type"] == "header"]
    return [(header["camera"]["width"], header["camera"]["height"]) for header in headers]


def test_the_page_sends_video_by_webrtc(camera_browser, tracker):
    pytest.importorskip("aiortc")
    skip_without_network()
    with page_of(camera_browser) as page:
        page.goto(f"{tracker.url}camera")
        assert "after Start" in page.inner_text("#way-note")
        page.click("#start")
        wait_for(page, "!document.querySelector('#way [value=webrtc]').disabled")
        assert not page.is_visible("#way-note")
        page.select_option("#way", "webrtc")
        wait_for(page, "document.getElementById('latency').textContent.includes('from arrival')")
        wait_for(page, SHOWS_BOTH)


def test_choices_that_overlap_the_start_end_in_one_running_camera(camera_browser, tracker):
    with page_of(camera_browser) as page:
        page.goto(f"{tracker.url}camera")
        for _ in range(3):
            page.click("#start")
        for control, choice in (("#size", "640x480"), ("#wanted-rate", "15"), ("#size", "1280x720")):
            page.select_option(control, choice)
        wait_for(page, SHOWS_BOTH)
        assert page.inner_text("#start") == "Stop"


@pytest.mark.parametrize(
    ("error", "says"),
    [("NotAllowedError", "was refused"), ("NotFoundError", "no such camera"), ("NotReadableError", "in use")],
)
def test_the_page_says_why_there_is_no_camera(camera_browser, tracker, error, says):
    with page_of(camera_browser) as page:
        refusal = (
            f"navigator.mediaDevices.getUserMedia = async () => {{ throw new DOMException('', '{error}') }}"
        )
        page.add_init_script(refusal)
        page.goto(f"{tracker.url}camera")
        page.click("#start")
        wait_for(page, "document.getElementById('message').classList.contains('bad')")
        assert says in page.inner_text("#message")
        assert page.inner_text("#start") == "Start camera"


def test_the_page_says_that_it_is_not_secure(camera_browser, tracker):
    with page_of(camera_browser) as page:
        page.goto(re.sub("127.0.0.1", "insecure.test", f"{tracker.url}camera"))
        assert "--tls" in page.inner_text("#message")
        assert page.is_disabled("#start")


def test_by_tls_the_page_needs_the_token(camera_browser, tmp_path):
    certificate, key = make_certificate(tmp_path)
    options = ("--serve", "0.0.0.0:0", "--token", TOKEN, "--tls", str(certificate), str(key))
    with tracking(tmp_path, *options) as url, page_of(camera_browser, ignore_https_errors=True) as page:
        assert url.startswith("https://")
        page.goto(f"{url}camera")
        page.click("#start")
        wait_for(page, "document.getElementById('message').textContent.startsWith('The token is')")
        assert page.is_visible("#token")
        page.fill("#token", TOKEN)
        page.click("#start")
        wait_for(page, SHOWS_BOTH)
        page.evaluate("sessionStorage.clear()")
        page.goto("about:blank")
        page.goto(f"{url}camera#token={quote(TOKEN)}")
        assert page.url == f"{url}camera"
        page.reload()  # the tab keeps the token
        page.click("#start")
        wait_for(page, SHOWS_BOTH)
        assert page.evaluate("localStorage.length") == 0


def test_the_page_tells_of_another_camera_and_of_a_lost_tracker_and_comes_back(camera_browser, tmp_path):
    with page_of(camera_browser) as page:
        with tracking(tmp_path, "--serve", "127.0.0.1:0") as url:
            page.goto(f"{url}camera")
            page.click("#start")
            wait_for(page, SHOWS_BOTH)
            other = page.context.new_page()
            other.goto(f"{url}camera")
            other.click("#start")
            wait_for(other, "document.getElementById('message').textContent.startsWith('Another camera')")
            assert other.inner_text("#hands") == ""  # those that are found are of the first one
            page.close()
            wait_for(other, SHOWS_BOTH)
        wait_for(other, "document.getElementById('message').textContent.includes('is lost')")
        assert other.inner_text("#hands") == ""
        with tracking(tmp_path, "--serve", url.removeprefix("http://").removesuffix("/")):
            wait_for(other, SHOWS_BOTH)


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

"""`--source browser` on the command line: its server, and what a person is told to do."""

import socket
from dataclasses import replace

import pytest

from tracker.cli_opening import open_for, serving_the_camera
from tracker.cli_sockets import SocketOptions
from tracker.cli_tracking import Live
from tracker.cli_web import VIEWER_ADDRESS, say_where_the_camera_is, seen_from_outside
from tracker.sinks.addresses import find_address
from tracker.sources.browser_camera import BrowserCamera


def told(place: str, *, tls: bool) -> list[str]:
    lines: list[str] = []
    address = find_address(place, option="--serve", kind=socket.SOCK_STREAM)
    say_where_the_camera_is(address, address.place, tls=tls, say=lines.append)
    return lines


def test_a_browsers_camera_brings_its_server():
    live = serving_the_camera(Live(source="browser"))
    assert live.sockets.serve == VIEWER_ADDRESS
    elsewhere = Live(source="browser", sockets=SocketOptions(serve="127.0.0.1:9999"))
    assert serving_the_camera(elsewhere) == elsewhere
    assert serving_the_camera(replace(live, source="0", sockets=SocketOptions())).sockets.serve is None


def test_the_source_is_the_camera_with_what_is_known_of_it(capsys):
    source = open_for(Live(source="browser"))
    assert isinstance(source, BrowserCamera)
    assert "--fov" in capsys.readouterr().err


def test_whose_hands_a_browser_shows_is_the_wearers_unless_said_otherwise():
    live = Live(source="browser")
    assert live.tracking.config(None, webcam=False).tracks.sighting.view == "first-person"
    outward = replace(live.tracking, view="any")
    assert outward.config(None, webcam=False).tracks.sighting.view == "any"


def test_on_this_machine_the_page_is_named_and_nothing_is_warned_of():
    (line,) = told("127.0.0.1:8765", tls=False)
    assert "http://127.0.0.1:8765/camera" in line


@pytest.mark.parametrize("tls", [False, True])
def test_elsewhere_the_page_is_named_as_others_see_it_and_plain_text_is_warned_of(tls):
    lines = told("0.0.0.0:8765", tls=tls)
    assert "0.0.0.0" not in lines[0] and "127.0.0.1" not in lines[0]
    assert f"{'https' if tls else 'http'}://" in lines[0] and ":8765/camera#token=" in lines[0]
    assert len(lines) == (1 if tls else 2)
    assert tls or ("--tls" in lines[1] and "README" in lines[1])


def test_an_address_that_is_one_stays_as_it_is():
    assert seen_from_outside("192.168.1.5") == "192.168.1.5"
    assert seen_from_outside("fd00::5") == "fd00::5"

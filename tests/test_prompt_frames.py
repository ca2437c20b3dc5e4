"""A video's packets become pictures at once, in order, whatever the network does to them."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.web.prompt_frames import MAX_WAITING, PromptFrames


@dataclass
class Packet:
    sequence_number: int
    timestamp: int
    marker: int
    _data: bytes = field(default=b"")


def video(sizes: list[int], first: int = 0, marked: bool = True) -> list[Packet]:
    """The packets of pictures of so many packets each."""
    packets = []
    for k, size in enumerate(sizes):
        for part in range(size):
            number = (first + len(packets)) % 65536
            packets.append(Packet(number, 3000 * k, int(marked and part == size - 1), b"%d.%d " % (k, part)))
    return packets


def picture(k: int, size: int) -> bytes:
    return b"".join(b"%d.%d " % (k, part) for part in range(size))


def given_by(frames: PromptFrames, packets: list[Packet]) -> list[bytes]:
    out = []
    for packet in packets:
        asked, coded = frames.add(packet)
        assert not asked
        if coded is not None:
            out.append(coded["data"])
    return out


def test_a_picture_comes_with_its_last_packet():
    frames = PromptFrames(dict)
    first, second, third = video([3])
    assert frames.add(first) == frames.add(second) == (False, None)
    assert frames.add(third) == (False, {"data": picture(0, 3), "timestamp": 0})


sizes = st.lists(st.integers(1, 6), min_size=1, max_size=12)


@given(sizes, st.integers(0, 65535), st.randoms())
def test_pictures_come_whole_and_in_order_though_packets_do_not(sizes, first, chance):
    """Packets after the first come up to 8 places late or twice; small pictures after them let all out."""
    count = len(sizes)
    packets = video([*sizes, *[1] * (count + 8)], first)
    shaken = range(1, sum(sizes))
    late = sorted(shaken, key=lambda k: k + chance.uniform(0, 8))
    order = [0, *(k for k in late for _ in range(chance.choice([1, 1, 2]))), *range(sum(sizes), len(packets))]
    out = given_by(PromptFrames(dict), [packets[k] for k in order])
    assert out[:count] == [picture(k, size) for k, size in enumerate(sizes)]
    assert out[count:] == [picture(k, 1) for k in range(count, len(out))]


@given(sizes)
def test_without_marks_a_picture_comes_with_the_next_ones_first_packet(sizes):
    out = given_by(PromptFrames(dict), video([*sizes, 1], marked=False))
    assert out == [picture(k, size) for k, size in enumerate(sizes)]


def test_packets_that_only_fill_the_line_are_no_pictures():
    packets = video([2, 2])
    filler = [Packet(2, 0, 0), Packet(3, 0, 0)]
    for packet in packets[2:]:
        packet.sequence_number += 2
    assert given_by(PromptFrames(dict), packets[:2] + filler + packets[2:]) == [picture(0, 2), picture(1, 2)]


def test_a_lost_packet_that_never_comes_again_is_given_up_for_a_key_picture():
    frames = PromptFrames(dict)
    packets = video([4] * 100)
    del packets[5]
    answers = [frames.add(packet) for packet in packets]
    asked = [k for k, (asks, _) in enumerate(answers) if asks]
    assert asked == [4 + MAX_WAITING]
    later = [coded["data"] for _, coded in answers[asked[0] :] if coded is not None]
    assert later and all(data.count(b" ") == 4 for data in later)


def test_a_stray_packet_from_before_the_first_is_left_out():
    frames = PromptFrames(dict)
    packets = video([1, 1, 1], first=65535)
    assert given_by(frames, packets[1:] + packets[:1]) == [picture(1, 1), picture(2, 1)]


def test_the_library_keeps_its_own_where_ours_is_put():
    """Where this fails, a new aiortc has moved it: find its new place, or live with a picture's delay."""
    pytest.importorskip("aiortc")
    from aiortc.rtcrtpreceiver import RTCRtpReceiver

    from tracker.web.webrtc import JITTER_BUFFER

    receiver = RTCRtpReceiver("video", _Transport())
    assert hasattr(receiver, JITTER_BUFFER)


class _Transport:
    state = "new"

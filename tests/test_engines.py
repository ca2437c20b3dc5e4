"""Engines: what they need is said, what differs from eager is refused, and memory running out is survived."""

import logging
import queue
import weakref

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from official_files import OfficialFiles  # noqa: E402
from scripted_runs import PATIENCE_S, finish, join_or_fail  # noqa: E402
from tiny_hamer import tiny_hamer  # noqa: E402
from torch import Tensor  # noqa: E402

from tracker.cameras import pinhole_from_fov  # noqa: E402
from tracker.crops import Crop, make_crop  # noqa: E402
from tracker.errors import EngineError, MissingDependencyError, UnknownNameError  # noqa: E402
from tracker.networks.crop_sampling import DENSE_NODES, NODES, CropSampler  # noqa: E402
from tracker.networks.engines import (  # noqa: E402
    BATCH_SIZES,
    ENGINES,
    joint_difference_mm,
    load_engine,
    refuse_if_different,
    require,
    seeded_call,
)
from tracker.networks.hamer import Hamer, load_hamer  # noqa: E402
from tracker.networks.hand_reader import HandReader, load_hand_reader, say_no_gpu  # noqa: E402
from tracker.networks.picture_reader import PACKED_SIZES, PictureReader, ReadHands, unpacked  # noqa: E402
from tracker.networks.picture_uploads import MOST_WAITING, PictureUploads  # noqa: E402
from tracker.networks.tensorrt_network import engine_key, load_tensorrt  # noqa: E402
from tracker.structs import Frame, HandBox, ImageArray  # noqa: E402

CPU = torch.device("cpu")
CAMERA = pinhole_from_fov(320, 240, 65.0)
WIDTH = sum(PACKED_SIZES)
on_a_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.fixture(scope="module")
def hamer(hamer_files: OfficialFiles) -> Hamer:
    return load_hamer(hamer_files.checkpoint, hamer_files.mano)


@pytest.fixture(scope="module")
def small() -> Hamer:
    """Where it does not matter what the hands are, only whose."""
    return tiny_hamer().eval()


def frame(seed: int = 0) -> Frame:
    return frame_of(np.random.default_rng(seed).integers(0, 256, (240, 320, 3), np.uint8))


def frame_of(image_rgb: ImageArray) -> Frame:
    return Frame(0, 0.0, image_rgb, pinhole_from_fov(image_rgb.shape[1], image_rgb.shape[0], 65.0))


def crops(count: int) -> list[Crop]:
    boxes = [HandBox(np.array([60.0 + 40.0 * index, 100.0]), 90.0, 0.0) for index in range(count)]
    return [make_crop("virtual", box, 256, CAMERA) for box in boxes]


class CountingStep:
    """Answers with the places of the crops' first nodes; notes batches; may have little memory."""

    def __init__(self, memory: int = 99) -> None:
        self.batches: list[int] = []
        self.pictures: list[Tensor] = []
        self.memory = memory

    def __call__(self, image: Tensor, nodes_px: Tensor, reads: Tensor) -> ReadHands:
        if len(nodes_px) > self.memory:
            raise torch.OutOfMemoryError("CUDA out of memory")
        self.batches.append(len(nodes_px))
        self.pictures.append(image)
        packed = nodes_px[:, 0, 0, 0, None].expand(-1, WIDTH).clone()
        return ReadHands(packed, torch.zeros(len(nodes_px), 778, 3))


# What an engine needs.


def test_an_unknown_engine_is_refused_with_those_there_are(hamer: Hamer) -> None:
    with pytest.raises(UnknownNameError, match="graph, inductor, tensorrt, eager"):
        load_engine("magic", hamer)


@pytest.mark.parametrize("name", [name for name in ENGINES if name != "eager"])
def test_an_engine_says_that_it_needs_a_gpu(hamer: Hamer, name: str) -> None:
    with pytest.raises(MissingDependencyError, match=r"needs an NVIDIA GPU.*--engine eager"):
        load_engine(name, hamer)


def test_tensorrt_that_is_not_installed_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"torch_tensorrt and tensorrt; .*extra `tensorrt`"):
        require("tensorrt", torch.device("cuda"))
    require("graph", torch.device("cuda"))


def test_tensorrt_wants_a_network_in_float16(hamer: Hamer) -> None:
    with pytest.raises(EngineError, match="float16"):
        load_tensorrt(hamer.network, BATCH_SIZES, folder=None)


def test_what_was_compiled_is_known_by_weights_and_shapes(hamer_files: OfficialFiles, hamer: Hamer) -> None:
    keys = {engine_key(hamer.network, 1), engine_key(hamer.network, 2)}
    other = load_hamer(hamer_files.checkpoint, hamer_files.mano)
    assert engine_key(other.network, 2) in keys
    other.network.head.start.data[0] += 1e-3
    assert engine_key(other.network, 2) not in keys
    assert len(keys) == 2


# What an engine gives.


def test_the_eager_engine_is_the_network_on_sampled_crops(hamer: Hamer) -> None:
    call = seeded_call(2, CPU)
    with torch.inference_mode():
        hands = load_engine("eager", hamer)(*call)
        expected = hamer(CropSampler()(*call))
    torch.testing.assert_close(hands.vertices_m, expected.vertices_m)
    for index in range(2):
        reading = unpacked(hands.packed[index].numpy())
        for name in ("global_orient", "hand_pose", "betas", "camera", "joints_m"):
            np.testing.assert_allclose(getattr(reading, name), getattr(expected, name)[index], atol=1e-6)


def moved_by(metres: float, exact: PictureReader) -> PictureReader:
    def step(*call: Tensor) -> ReadHands:
        hands = exact(*call)
        hands.packed[:, -1] += metres
        return hands

    return step  # type: ignore[return-value]


@pytest.mark.parametrize(("metres", "measured"), [(0.002, "2.00 mm"), (float("nan"), "nan mm")])
def test_an_engine_that_moves_joints_is_refused_with_the_measure(
    small: Hamer, metres: float, measured: str
) -> None:
    exact = PictureReader(small)
    with torch.inference_mode(), pytest.raises(EngineError, match=measured):
        refuse_if_different("graph", moved_by(metres, exact), exact, CPU)


def test_an_engine_that_moves_joints_by_less_is_taken(small: Hamer) -> None:
    exact = PictureReader(small)
    with torch.inference_mode():
        refuse_if_different("graph", moved_by(0.0005, exact), exact, CPU)


def test_batches_that_the_memory_does_not_hold_are_not_compared() -> None:
    with torch.inference_mode():
        refuse_if_different("graph", CountingStep(memory=1), CountingStep(memory=1), CPU)
        with pytest.raises(torch.OutOfMemoryError):
            refuse_if_different("graph", CountingStep(memory=0), CountingStep(), CPU)


def test_compiled_parts_stand_in_for_the_network_and_the_sampler(hamer: Hamer) -> None:
    """As the engine inductor puts them together; a compiler that only looks, at the whole of each."""
    sampler, read = (
        torch.compile(part, backend="eager", fullgraph=True, dynamic=False) for part in (CropSampler(), hamer)
    )
    compiled, eager = PictureReader(hamer, sampler=sampler, read=read), PictureReader(hamer)
    with torch.inference_mode():
        for nodes in (NODES, DENSE_NODES):
            call = seeded_call(1, CPU, nodes=nodes)
            assert joint_difference_mm(compiled(*call).packed, eager(*call).packed) < 1e-3


# Batches.


@pytest.mark.parametrize(
    ("count", "batches"), [(0, []), (1, [1]), (2, [2]), (3, [4]), (4, [4]), (5, [4, 1]), (7, [4, 4])]
)
def test_hands_are_read_in_batches_of_fixed_sizes(count: int, batches: list[int]) -> None:
    step = CountingStep()
    readings = HandReader(step, CPU).begin(frame(), crops(count), [False] * count).wait()
    assert step.batches == batches
    first_nodes = [crop.image_from_crop(np.zeros(2))[0] for crop in crops(count)]
    np.testing.assert_allclose([reading.betas[0] for reading in readings], first_nodes, rtol=1e-6)


def test_memory_that_runs_out_halves_the_batch_and_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    step = CountingStep(memory=1)
    reader = HandReader(step, CPU)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert len(reader.begin(frame(), crops(3), [False] * 3).wait()) == 3
    assert step.batches == [1, 1, 1] * 2
    assert [record.getMessage()[-34:] for record in caplog.records] == [
        "at most 2 hands at a time from now on"[-34:],
        "at most 1 hands at a time from now on"[-34:],
    ]


def test_no_memory_even_for_one_hand_is_an_error() -> None:
    with pytest.raises(EngineError, match="no memory left to read a single hand"):
        HandReader(CountingStep(memory=0), CPU).begin(frame(), crops(2), [False] * 2)


def test_a_picture_goes_over_once_and_keeps_its_place() -> None:
    step = CountingStep()
    reader = HandReader(step, CPU)
    first, second = frame(1), frame(2)
    for each in (first, first, second):
        reader.begin(each, crops(1), [False])
    assert step.pictures[0] is step.pictures[1] is step.pictures[2]  # a captured graph reads that place
    np.testing.assert_array_equal(step.pictures[2].numpy(), second.image_rgb)


def test_smaller_pictures_lie_in_the_place_of_the_largest_with_black_around() -> None:
    """Captured graphs serve them all; a picture's pixels never show in one of another size."""
    step = CountingStep()
    reader = HandReader(step, CPU)
    white = [
        frame_of(np.full((height, width, 3), 255, np.uint8)) for height, width in ((240, 320), (320, 240))
    ]
    for each, seen in (
        (white[0], (240, 320)),
        (white[1], (320, 320)),
        (white[0], (320, 320)),
        (frame(), (320, 320)),
    ):
        reader.begin(each, crops(1), [False])
        height, width = each.image_rgb.shape[:2]
        now = step.pictures[-1].numpy()
        assert now.shape[:2] == seen
        np.testing.assert_array_equal(now[:height, :width], each.image_rgb)
        assert now[height:].max(initial=0) == now[:, width:].max(initial=0) == 0
    assert step.pictures[1] is step.pictures[2] is step.pictures[3]


def test_hands_are_the_same_whatever_sizes_were_seen_before(hamer: Hamer) -> None:
    """But for the last bits of float32 positions, which count from the middle of the place."""
    used, fresh = (HandReader(load_engine("eager", hamer), CPU) for _ in range(2))
    for size in ((400, 300, 3), (200, 500, 3)):
        used.begin(frame_of(np.full(size, 90, np.uint8)), crops(1), [False])
    (ours,), (expected,) = (reader.begin(frame(4), crops(1), [False]).wait() for reader in (used, fresh))
    np.testing.assert_allclose(ours.joints_m, expected.joints_m, atol=2e-5)


# Pictures sent ahead.


def test_a_prepared_picture_is_the_picture() -> None:
    step = CountingStep()
    reader = HandReader(step, CPU)
    frames = [frame(seed) for seed in range(4)]
    for each in frames:
        reader.prepare(each)
    for each in (
        frames[0],
        frames[2],
        frames[1],
        frame(9),
        frames[3],
    ):  # one dropped, one late, one never sent
        reader.begin(each, crops(1), [False])
        np.testing.assert_array_equal(step.pictures[-1].numpy(), each.image_rgb)


def test_of_prepared_pictures_few_are_kept_and_dropped_ones_let_go() -> None:
    uploads = PictureUploads(CPU)
    frames = [frame(seed) for seed in range(MOST_WAITING + 3)]
    for each in frames:
        uploads.begin(each)
    assert len(uploads) == MOST_WAITING
    np.testing.assert_array_equal(uploads.take(frames[-2]).numpy(), frames[-2].image_rgb)
    assert len(uploads) == 1
    del each
    released = weakref.ref(frames.pop().image_rgb)
    uploads.take(frame())  # never sent ahead, so nothing is known to be dropped
    assert released() is not None
    uploads.begin(frames[0])
    uploads.take(frames[0])
    assert released() is None


def test_a_buffer_that_a_source_uses_again_is_another_picture_in_another_frame() -> None:
    step = CountingStep()
    reader = HandReader(step, CPU)
    buffer = frame(1).image_rgb
    reader.begin(frame_of(buffer), crops(1), [False])
    buffer[:] = 7
    reader.begin(frame_of(buffer), crops(1), [False])
    assert (step.pictures[-1].numpy() == 7).all()


def test_pictures_prepared_in_another_thread_are_read_as_without(small: Hamer) -> None:
    """The source's thread runs ahead while hands are read; some frames are dropped."""
    frames = [frame(seed) for seed in range(12)]
    ahead, plain = (HandReader(load_engine("eager", small), CPU) for _ in range(2))
    given: queue.Queue[Frame | None] = queue.Queue(maxsize=3)

    def source() -> None:
        for each in frames:
            ahead.prepare(each)
            given.put(each)
        given.put(None)

    thread = finish(source)
    while (each := given.get(timeout=PATIENCE_S)) is not None:
        if each is not frames[5]:
            (ours,), (expected,) = (reader.begin(each, crops(1), [False]).wait() for reader in (ahead, plain))
            np.testing.assert_array_equal(ours.joints_m, expected.joints_m)
    join_or_fail(thread)


def test_a_device_without_memory_for_a_picture_ahead_takes_it_in_its_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(array: object) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    step = CountingStep()
    reader, each = HandReader(step, CPU), frame(3)
    with monkeypatch.context() as patched:
        patched.setattr(torch, "from_numpy", full)
        reader.prepare(each)
    reader.begin(each, crops(1), [False])
    np.testing.assert_array_equal(step.pictures[-1].numpy(), each.image_rgb)


def test_mirrored_hands_are_read_mirrored(hamer: Hamer) -> None:
    reader = HandReader(load_engine("eager", hamer), CPU)
    seen = frame()
    plain, mirrored = (reader.begin(seen, crops(1), [mirror]).wait()[0] for mirror in (False, True))
    assert np.abs(plain.joints_m - mirrored.joints_m).max() > 1e-4


def test_the_cpu_says_in_one_line_what_it_is_for_and_once(
    hamer_files: OfficialFiles, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    say_no_gpu.cache_clear()
    with caplog.at_level(logging.WARNING):
        for _ in range(2):  # as an ensemble does
            reader = load_hand_reader(hamer_files.checkpoint, hamer_files.mano)
    assert len(caplog.records) == 1
    assert "stills and tests" in caplog.records[0].getMessage()
    (reading,) = reader.begin(frame(), crops(1), [False]).wait()
    assert np.isfinite(reading.joints_m).all()


# On a GPU.


@pytest.mark.gpu
@on_a_gpu
@pytest.mark.parametrize("name", ["graph", "inductor"])
def test_an_engine_on_the_gpu_gives_what_eager_gives(hamer_files: OfficialFiles, name: str) -> None:
    gpu = torch.device("cuda")
    hamer = load_hamer(hamer_files.checkpoint, hamer_files.mano, device=gpu, dtype=torch.float16)
    engine, eager = load_engine(name, hamer), load_engine("eager", hamer)
    with torch.inference_mode():
        for count in (*BATCH_SIZES, 1):
            call = seeded_call(count, gpu)
            assert joint_difference_mm(engine(*call).packed, eager(*call).packed) < 1.0


@pytest.mark.gpu
@on_a_gpu
def test_the_gpu_reads_what_the_cpu_reads(hamer_files: OfficialFiles) -> None:
    """A new picture, sent ahead or not, a new size, and hands begun while others are still on their way."""
    files = (hamer_files.checkpoint, hamer_files.mano)
    on_gpu = load_hand_reader(*files)
    exact = HandReader(load_engine("eager", load_hamer(*files)), CPU)
    wide = frame_of(np.ascontiguousarray(np.tile(frame(3).image_rgb, (1, 2, 1))))
    for ahead, seen in enumerate((frame(1), frame(2), wide, frame(1), frame(4))):
        if ahead % 2:
            on_gpu.prepare(seen)
        begun = [on_gpu.begin(seen, crops(count), [True] * count) for count in (2, 1, 2)]
        for count, hands in zip((2, 1, 2), begun, strict=True):
            for ours, expected in zip(
                hands.wait(), exact.begin(seen, crops(count), [True] * count).wait(), strict=True
            ):
                np.testing.assert_allclose(ours.joints_m, expected.joints_m, atol=5e-4)

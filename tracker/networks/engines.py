"""Ways to run HaMeR on a device: as it stands, in a captured CUDA graph, or compiled.

An engine is a ``Step`` (see ``picture_reader``) made from the eager one. Each is compared with it on seeded
crops when it is loaded, and refused if joints move by more than ``MAX_JOINT_ERROR_MM``.
"""

import importlib.util
from itertools import product
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor

from tracker.errors import EngineError, MissingDependencyError, UnknownNameError
from tracker.networks.crop_sampling import CELL, DENSE_NODES, NODES, CropSampler, level_places
from tracker.networks.hamer import Hamer
from tracker.networks.picture_reader import PACKED_SIZES, PictureReader, ReadHands, Step, device_of

EngineName = Literal["graph", "inductor", "tensorrt", "eager"]
ENGINES: tuple[EngineName, ...] = get_args(EngineName)
BATCH_SIZES = (1, 2, 4)
"""Hands read at once: other numbers are padded or split, so that shapes stay static."""
MAX_JOINT_ERROR_MM = 1.0
WARM_UPS = 3
_CHECK_PICTURE = (480, 640)


def load_engine(name: str, hamer: Hamer, *, compiled_folder: Path | None = None) -> Step:
    """The engine of this name, checked against the eager one.

    Args:
        name: one of ``ENGINES``.
        hamer: on the device where it is to run.
        compiled_folder: where ``tensorrt`` keeps what it compiled; without it nothing is kept.

    Raises:
        UnknownNameError: there is no such engine.
        MissingDependencyError: it needs a GPU or a library that is not there.
        EngineError: it cannot be built, or its joints lie elsewhere than the eager engine's.
    """
    if name not in ENGINES:
        raise UnknownNameError(f"engine {name!r} is unknown; choose one of {', '.join(ENGINES)}")
    eager = PictureReader(hamer)
    if name == "eager":
        return eager
    require(name, device_of(hamer))
    try:
        with torch.inference_mode():
            engine = CapturedStep(_uncaptured(name, hamer, compiled_folder))
            refuse_if_different(name, engine, eager, device_of(hamer))
    except EngineError:
        raise
    except torch.OutOfMemoryError as error:
        raise EngineError(f"engine {name!r} has no memory left to read a single hand; free some") from error
    except Exception as error:  # compilers and drivers fail in their own ways
        raise EngineError(
            f"engine {name!r} cannot be built ({_first_line(error)}); choose --engine eager"
        ) from error
    return engine


def require(name: str, device: torch.device) -> None:
    """Check that an engine's needs are met.

    Raises:
        MissingDependencyError: it needs a GPU or a library that is not there; says what to install.
    """
    if device.type != "cuda":
        raise MissingDependencyError(
            f"engine {name!r} needs an NVIDIA GPU and a CUDA build of PyTorch "
            "(https://pytorch.org/get-started); without them choose --engine eager"
        )
    # Without TensorRT's libraries torch_tensorrt prints and raises when imported, so it is only looked for.
    needed = {"inductor": ("triton",), "tensorrt": ("torch_tensorrt", "tensorrt")}.get(name, ())
    missing = [library for library in needed if importlib.util.find_spec(library) is None]
    if missing:
        install = (
            "install this package with the extra `tensorrt`"
            if name == "tensorrt"
            else "install the package triton"
        )
        raise MissingDependencyError(f"engine {name!r} needs {' and '.join(missing)}; {install}")


def _uncaptured(name: str, hamer: Hamer, folder: Path | None) -> Step:
    if name == "inductor":
        # Our own graph holds sampling, network and MANO, so the compiler makes none.
        sampler = torch.compile(CropSampler().to(device_of(hamer)))
        read = torch.compile(hamer, mode="max-autotune-no-cudagraphs", dynamic=False)
        return PictureReader(hamer, sampler=sampler, read=read)
    if name == "tensorrt":
        from tracker.networks.tensorrt_network import load_tensorrt

        network = load_tensorrt(hamer.network, BATCH_SIZES, folder=folder)
        return PictureReader(hamer, read=lambda crops: hamer.decode(network(crops)))
    return PictureReader(hamer)


class CapturedStep:
    """A step replayed from captured CUDA graphs with static buffers.

    Each batch size has a graph, and one more for crops that reach beyond the lens (see ``TracedCrops``).
    What a call returns is overwritten by the next one of the same shapes.
    """

    def __init__(self, step: Step) -> None:
        self._step = step
        self._graphs: dict[tuple[int, ...], _Graph] = {}
        self._picture: Tensor | None = None

    def __call__(self, picture: Tensor, nodes_px: Tensor, reads: Tensor) -> ReadHands:
        """See ``Step``; ``picture`` must keep its place between calls, or all is captured again."""
        if self._picture is not picture:
            self._graphs.clear()
            self._picture = picture
        graph = self._graphs.get(nodes_px.shape)
        if graph is None:
            graph = self._graphs[nodes_px.shape] = _Graph(self._step, picture, nodes_px, reads)
        return graph.replay(nodes_px, reads)


class _Graph:
    """One captured call."""

    def __init__(self, step: Step, picture: Tensor, nodes_px: Tensor, reads: Tensor) -> None:
        self._nodes_px = nodes_px.to(picture.device).clone()
        self._reads = reads.to(picture.device).clone()
        aside = torch.cuda.Stream(picture.device)
        aside.wait_stream(torch.cuda.current_stream(picture.device))
        with torch.cuda.stream(aside):  # libraries choose kernels and compilers compile before the capture
            for _ in range(WARM_UPS):
                step(picture, self._nodes_px, self._reads)
        torch.cuda.current_stream(picture.device).wait_stream(aside)
        self._graph = torch.cuda.CUDAGraph()
        # Other threads may use the GPU meanwhile.
        with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
            self._hands = step(picture, self._nodes_px, self._reads)

    def replay(self, nodes_px: Tensor, reads: Tensor) -> ReadHands:
        self._nodes_px.copy_(nodes_px, non_blocking=True)
        self._reads.copy_(reads, non_blocking=True)
        self._graph.replay()
        return self._hands


def refuse_if_different(name: str, engine: Step, eager: Step, device: torch.device) -> None:
    """Compare an engine with the eager one for every batch size that the memory holds.

    Raises:
        EngineError: joints differ by more than ``MAX_JOINT_ERROR_MM``; says by how much.
    """
    for count, nodes in product(BATCH_SIZES, (NODES, DENSE_NODES)):
        call = seeded_call(count, device, nodes=nodes)
        try:
            difference_mm = joint_difference_mm(engine(*call).packed, eager(*call).packed)
        except torch.OutOfMemoryError:
            if count == 1:
                raise
            return  # smaller batches were compared; whoever asks for this one hears of the memory
        if not difference_mm <= MAX_JOINT_ERROR_MM:
            raise EngineError(
                f"engine {name!r} is refused: its joints lie up to {difference_mm:.2f} mm from those of "
                f"the eager engine ({count} hands); at most {MAX_JOINT_ERROR_MM:g} mm are allowed. "
                "Choose --engine eager"
            )


def seeded_call(count: int, device: torch.device, *, nodes: int = NODES) -> tuple[Tensor, Tensor, Tensor]:
    """A picture of blobs and noise, and ``count`` crops of it: what a ``Step`` takes."""
    generator = torch.Generator().manual_seed(count)
    height, width = _CHECK_PICTURE
    blobs = torch.rand(height // 32, width // 32, 3, generator=generator)
    noise = torch.rand(height, width, 3, generator=generator)
    smooth = blobs.repeat_interleave(32, 0).repeat_interleave(32, 1)
    picture = (255 * (0.8 * smooth + 0.2 * noise)).to(torch.uint8)
    steps = torch.linspace(0.0, CELL * (NODES - 1), nodes)
    first = 20.0 * torch.arange(1, count + 1)[:, None, None] + torch.zeros(nodes, nodes)
    nodes_px = torch.stack([first + steps, first + steps[:, None]], dim=1)
    reads = torch.tensor([(0.3, *level_places(height, width)[0])] * count)
    assert float(nodes_px[0].max()) < width
    return picture.to(device), nodes_px.to(device), reads.to(device)


def joint_difference_mm(packed: Tensor, exact: Tensor) -> float:
    """The largest distance between the joints of two packed results (B, 220), in millimetres."""
    joints = slice(sum(PACKED_SIZES[:-1]), None)
    apart = (packed[:, joints].float() - exact[:, joints].float()).unflatten(1, (-1, 3))
    return 1000.0 * float(torch.linalg.norm(apart, dim=-1).max())


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__

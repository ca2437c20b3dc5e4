"""How long HaMeR takes on this card, stage by stage, against what the card could do.

    PYTHONPATH=. python benchmarks/hamer_gpu.py

needs torch 2.11 or newer and numpy, nothing of the network: weights are random ones of the official shapes,
MANO is a random body of MANO's shapes. First the card's own copy bandwidth and float16 matrix rate are
measured. Then for 1, 2 and 4 hands:

- published: whole-frame blur, warp and normalising on the CPU as HaMeR's demo does them (written here in
  torch), float32 without TF32, attention as three products;
- float32: our crops and modules, TF32 off; float16: the same in float16 (bfloat16 on a CPU);
- graph, inductor, tensorrt: the engines of tracker.networks.engines, where they can run.

Stages are timed apart, each with the device idle before it (for ``graph``, each in a graph of its own);
``whole`` is from the picture on the device to the mesh on the device in one call, and ``end to end`` from
the picture in the host's memory to joints and MANO parameters there, on the host's clock; ``sent ahead`` is
the same for a picture that the source's thread has sent to the device before. ``x roofline`` is whole
over the larger of (products / matrix rate) and (weights / copy bandwidth).

Last result: none; no card was at hand when this was written.
"""

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from hamer_published import Published
from hamer_stand_in import half_type, in_half, network_cost, random_hamer
from torch import Tensor

from tracker.cameras import Camera, pinhole_from_fov
from tracker.cli_running import run_command
from tracker.crops import AffineCrop
from tracker.errors import TrackerError
from tracker.joints import NUM_JOINTS
from tracker.networks.crop_sampling import CropSampler, trace
from tracker.networks.engines import CapturedStep, joint_difference_mm, load_engine
from tracker.networks.hamer import CROP_PX, FIRST_COLUMN_PX, Hamer, HamerConfig
from tracker.networks.hand_reader import HandReader
from tracker.networks.picture_reader import PictureReader, Step
from tracker.networks.vit import CROP_COLUMNS_PX, VitConfig
from tracker.structs import Frame, HandBox, ImageArray

STAGES = ("upload", "crop", "vit", "head", "mano", "whole", "end to end", "sent ahead")
HAND_PX = (260.0, 180.0, 320.0, 140.0)
"""Tight sizes of the hands in the picture; their crops are twice as large."""


@dataclass
class Bench:
    """What is the same for every row."""

    device: torch.device
    repeats: int
    image_rgb: ImageArray
    camera: Camera
    crops: list[AffineCrop]
    config: HamerConfig
    copy_gb_per_s: float = 0.0
    matrix_tflop_per_s: float = 0.0
    exact: dict[int, Tensor] = field(default_factory=dict)
    """float32 results by the number of hands."""

    def time_ms(
        self,
        call: Callable[[], object],
        *,
        host: bool = False,
        before: Callable[[], object] | None = None,
    ) -> list[float]:
        """p50 and p95 of a call; on the device's clock unless the host's is asked for.

        ``before`` comes before each call and is not counted.
        """
        on_gpu = self.device.type == "cuda"
        before = before or (lambda: None)
        for _ in range(min(3, self.repeats)):
            before()
            call()
        samples = []
        for _ in range(self.repeats):
            before()
            if on_gpu:
                torch.cuda.synchronize()
            if on_gpu and not host:
                begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
                begin.record()
                call()
                end.record()
                torch.cuda.synchronize()
                samples.append(begin.elapsed_time(end))
            else:
                start_s = time.perf_counter()
                call()
                samples.append(1000 * (time.perf_counter() - start_s))
        return [float(value) for value in np.percentile(samples, [50, 95])]

    def roofline_ms(self, hands: int) -> float:
        """The least time of the network on this card, in float16."""
        flop, weights_bytes = network_cost(self.config)
        return max(hands * flop / (self.matrix_tflop_per_s * 1e9), weights_bytes / (self.copy_gb_per_s * 1e6))


def measure_card(bench: Bench, *, quick: bool) -> None:
    """Copy bandwidth (bytes read and written) and half-precision matrix rate, best of several."""
    count, side = (1 << 22, 256) if quick else (1 << 30, 8192)
    source = torch.empty(count, dtype=torch.uint8, device=bench.device)
    target = torch.empty_like(source)
    p50, _ = bench.time_ms(lambda: target.copy_(source))
    bench.copy_gb_per_s = 2 * count / p50 / 1e6
    dtype = half_type(bench.device)
    a, b = (torch.randn(side, side, dtype=dtype, device=bench.device) for _ in range(2))
    p50, _ = bench.time_ms(lambda: a @ b)
    bench.matrix_tflop_per_s = 2 * side**3 / p50 / 1e9


def stage_calls(hamer: Hamer, call: tuple[Tensor, Tensor, Tensor]) -> dict[str, Callable[[], object]]:
    """Each stage on the output of the one before."""
    sampler = CropSampler().to(call[0].device)
    crops = sampler(*call)[..., FIRST_COLUMN_PX : FIRST_COLUMN_PX + CROP_COLUMNS_PX]
    tokens = hamer.network.backbone(crops)
    numbers = hamer.network.head(tokens)
    return {
        "crop": lambda: sampler(*call),
        "vit": lambda: hamer.network.backbone(crops),
        "head": lambda: hamer.network.head(tokens),
        "mano": lambda: hamer.decode(numbers),
    }


def captured(call: Callable[[], object]) -> Callable[[], object]:
    """The call in a CUDA graph."""
    call()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    return graph.replay


def row(bench: Bench, name: str, hands: int, hamer: Hamer, step: Step, *, stages: bool) -> dict[str, Any]:
    """Everything about one engine and number of hands."""
    on_gpu = bench.device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    picture = torch.from_numpy(bench.image_rgb.copy())
    staging = picture.pin_memory() if on_gpu else picture
    traced = trace(list(bench.crops[:hands]), [False] * hands, picture.shape[:2])
    call = (
        picture.to(bench.device),
        *(torch.from_numpy(a).to(bench.device) for a in (traced.nodes_px, traced.reads)),
    )
    packed = step(*call).packed.clone()
    if name == "float32":
        bench.exact[hands] = packed
    times = {"upload": bench.time_ms(lambda: call[0].copy_(staging, non_blocking=True))}
    if stages:
        for stage, stage_call in stage_calls(hamer, call).items():
            in_graph = isinstance(step, CapturedStep)
            times[stage] = bench.time_ms(captured(stage_call) if in_graph else stage_call)
    times["whole"] = bench.time_ms(lambda: step(*call))
    times |= from_the_host(bench, hands, HandReader(step, bench.device))
    return result_row(bench, name, hands, times, joint_difference_mm(packed, bench.exact[hands]))


def from_the_host(bench: Bench, hands: int, reader: HandReader) -> dict[str, list[float]]:
    """From a picture in the host's memory to its hands there, the picture sent when asked for or ahead."""
    frames = [Frame(number, 0.0, bench.image_rgb, bench.camera) for number in (0, 1)]

    def read() -> None:
        reader.begin(frames[0], list(bench.crops[:hands]), [False] * hands).wait()

    def send_next() -> None:
        frames.reverse()  # another frame has another picture, which goes over again
        reader.prepare(frames[0])

    return {
        "end to end": bench.time_ms(read, host=True, before=frames.reverse),
        "sent ahead": bench.time_ms(read, host=True, before=send_next),
    }


def published_row(bench: Bench, hands: int, hamer: Hamer) -> dict[str, Any]:
    """HaMeR's own path."""
    if bench.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    published = Published(hamer, bench.image_rgb, [crop.box for crop in bench.crops[:hands]])
    apart = published.run() - bench.exact[hands][:, -3 * NUM_JOINTS :].cpu().unflatten(1, (-1, 3))
    apart_mm = 1000 * float(torch.linalg.norm(apart, dim=-1).max())
    times = {
        "crop": bench.time_ms(published.preprocess, host=True),
        "end to end": bench.time_ms(published.run, host=True),
    }
    return result_row(bench, "published", hands, times, apart_mm)


def result_row(
    bench: Bench, name: str, hands: int, times: dict[str, list[float]], joint_difference: float
) -> dict[str, Any]:
    return {
        "engine": name,
        "hands": hands,
        "ms": times,
        "peak_memory_gb": torch.cuda.max_memory_allocated() / 1e9 or None,
        "times_roofline": times["whole"][0] / bench.roofline_ms(hands) if "whole" in times else None,
        "joint_difference_mm": joint_difference,
    }


def print_row(found: dict[str, Any]) -> None:
    times = [" / ".join(f"{ms:.3f}" for ms in found["ms"].get(stage, [])) or "-" for stage in STAGES]
    tail = [
        "-" if found[key] is None else f"{found[key]:.2f}" for key in ("peak_memory_gb", "times_roofline")
    ]
    last = f"{found['joint_difference_mm']:.3f}"
    print("| " + " | ".join([found["engine"], str(found["hands"]), *times, *tail, last]) + " |", flush=True)


def bench_of(args: argparse.Namespace) -> Bench:
    """A 1080p picture of blobs and noise, and places of hands in it."""
    width, height = (640, 480) if args.quick else (1920, 1080)
    camera = pinhole_from_fov(width, height, 90.0)
    generator = np.random.default_rng(0)
    blobs = generator.integers(0, 224, (height // 12 + 1, width // 12 + 1, 3), np.uint8)
    noise = generator.integers(0, 32, (height, width, 3), np.uint8)
    image = np.kron(blobs, np.ones((12, 12, 1), np.uint8))[:height, :width] + noise
    boxes = [
        HandBox(np.array([width * (0.2 + 0.2 * number), height / 2]), 2 * size_px, 0.0)
        for number, size_px in enumerate(HAND_PX)
    ]
    return Bench(
        device=torch.device(args.device),
        repeats=1 if args.quick else args.repeats,
        image_rgb=image,
        camera=camera,
        crops=[AffineCrop(box, CROP_PX, camera) for box in boxes],
        config=HamerConfig(vit=VitConfig(depth=args.depth)),
    )


def profile(step: Step, bench: Bench, hands: int) -> None:
    """The kernels of one call that take longest."""
    traced = trace(list(bench.crops[:hands]), [False] * hands, bench.image_rgb.shape[:2])
    tensors = [torch.from_numpy(a).to(bench.device) for a in (bench.image_rgb, traced.nodes_px, traced.reads)]
    step(*tensors)
    with torch.profiler.profile() as profiler:
        for _ in range(10):
            step(*tensors)
        if bench.device.type == "cuda":
            torch.cuda.synchronize()
    by = "self_cuda_time_total" if bench.device.type == "cuda" else "self_cpu_time_total"
    print(profiler.key_averages().table(sort_by=by, row_limit=30, max_name_column_width=80), file=sys.stderr)


def rows(bench: Bench, args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """All rows, float32 first: the others are compared with it."""
    exact = random_hamer(bench.config, bench.device)
    for hands in args.hands:
        yield row(bench, "float32", hands, exact, PictureReader(exact), stages=True)
    for hands in args.hands:
        yield published_row(bench, hands, exact)
    half = in_half(exact, bench.config, bench.device)
    del exact
    name = "float16" if half_type(bench.device) is torch.float16 else "bfloat16"
    for hands in args.hands:
        yield row(bench, name, hands, half, PictureReader(half), stages=True)
    for engine in args.engines:
        try:
            step = load_engine(engine, half)
        except TrackerError as error:
            print(f"{engine}: {error}", file=sys.stderr)
            continue
        for hands in args.hands:
            yield row(bench, engine, hands, half, step, stages=engine == "graph")
        if args.profile:
            profile(step, bench, hands=2)
        del step


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--depth", type=int, default=VitConfig.depth, help="layers of the backbone")
    parser.add_argument("--hands", type=int, nargs="+", default=[1, 2, 4], choices=[1, 2, 4])
    parser.add_argument("--engines", nargs="*", default=["graph", "inductor", "tensorrt"])
    parser.add_argument("--repeats", type=int, default=100)
    parser.add_argument("--quick", action="store_true", help="tiny measurements, to see that it runs")
    parser.add_argument("--profile", action="store_true", help="list the kernels of each engine for 2 hands")
    args = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    bench = bench_of(args)
    card = torch.cuda.get_device_name() if bench.device.type == "cuda" else f"CPU, {platform.machine()}"
    measure_card(bench, quick=args.quick)
    print(f"{card}, torch {torch.__version__}: copies {bench.copy_gb_per_s:.0f} GB/s (read and written), ")
    print(f"{half_type(bench.device)} products {bench.matrix_tflop_per_s:.1f} TFLOP/s\n")
    print("| engine | hands | " + " | ".join(f"{stage}, ms" for stage in STAGES), end="")
    print(" | GB | x roofline | joints, mm |\n|" + "---|" * (len(STAGES) + 5))
    found = []
    with torch.inference_mode():
        for each in rows(bench, args):
            print_row(each)
            found.append(each)
    summary = {
        "benchmark": "hamer_gpu",
        "card": card,
        "torch": torch.__version__,
        "depth": args.depth,
        "copy_gb_per_s": bench.copy_gb_per_s,
        "matrix_tflop_per_s": bench.matrix_tflop_per_s,
        "roofline_ms": {str(hands): bench.roofline_ms(hands) for hands in args.hands},
        "rows": found,
    }
    print(json.dumps(summary))


if __name__ == "__main__":
    sys.exit(run_command(main))

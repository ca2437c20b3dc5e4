"""A run's figures as they are published: Prometheus' text format 0.0.4, and the message for clients."""

from collections.abc import Iterable, Iterator

from tracker.joints import Side
from tracker.web.server_messages import LatencyMessage, StatsMessage
from tracker.web.statistics import QUANTILES, Figures

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_PREFIX = "hand_tracker_"

Samples = Iterable[tuple[str, float]]
"""Labels in braces, or nothing, and the value."""


def prometheus_text(figures: Figures, *, clients: int, playing: bool, recording: bool) -> str:
    """The page that Prometheus reads."""
    lines = [
        *_metric("frames_total", "counter", "Frames tracked.", [("", figures.frames)]),
        *_metric("frame_rate_hz", "gauge", "Frames tracked a second.", [("", figures.frame_rate_hz)]),
        *_latency(figures),
        *_metric(
            "stage_seconds",
            "gauge",
            "Median time in a stage.",
            [(f'{{stage="{_escaped(name)}"}}', value) for name, value in sorted(figures.stages_s.items())],
        ),
        *_metric(
            "dropped_frames_total",
            "counter",
            "Frames of the source that were not tracked.",
            [("", figures.dropped_frames)],
        ),
        *_metric(
            "skipped_messages_total",
            "counter",
            "Frames that a client was too slow for.",
            [("", figures.skipped)],
        ),
        *_metric("clients", "gauge", "WebSocket clients.", [("", clients)]),
        *_metric(
            "hands",
            "gauge",
            "Hands in the newest frame.",
            [(f'{{side="{side.value}"}}', figures.hands.get(side, 0)) for side in Side],
        ),
        *_metric("source_up", "gauge", "Whether the source gives pictures.", [("", playing)]),
        *_metric("recording", "gauge", "Whether a recording asked for by a client runs.", [("", recording)]),
    ]
    return "\n".join(lines) + "\n"


def stats_message(
    figures: Figures, *, clients: int, recording: str | None, preview_offered: bool
) -> StatsMessage:
    """What clients are told."""
    quantiles = figures.latency_s or (None,) * len(QUANTILES)
    return StatsMessage(
        frame_rate_hz=round(figures.frame_rate_hz, 2),
        latency_ms=LatencyMessage(*(None if value is None else round(1e3 * value, 3) for value in quantiles)),
        stage_ms={name: round(1e3 * value, 3) for name, value in figures.stages_s.items()},
        dropped_frames=figures.dropped_frames,
        clients=clients,
        recording=recording,
        preview_offered=preview_offered,
    )


def _latency(figures: Figures) -> Iterator[str]:
    """A summary; its quantiles are NaN where nothing was measured in the last seconds."""
    values = figures.latency_s or (float("nan"),) * len(QUANTILES)
    samples = [
        (f'{{quantile="{quantile:g}"}}', value) for quantile, value in zip(QUANTILES, values, strict=True)
    ]
    yield from _metric("latency_seconds", "summary", "From capture until a client is handed it.", samples)
    yield f"{_PREFIX}latency_seconds_sum {_number(figures.latency_sum_s)}"
    yield f"{_PREFIX}latency_seconds_count {figures.latency_count}"


def _metric(name: str, kind: str, meaning: str, samples: Samples) -> Iterator[str]:
    yield f"# HELP {_PREFIX}{name} {meaning}"
    yield f"# TYPE {_PREFIX}{name} {kind}"
    for labels, value in samples:
        yield f"{_PREFIX}{name}{labels} {_number(value)}"


def _number(value: float) -> str:
    return "NaN" if value != value else f"{value:.9g}" if isinstance(value, float) else str(int(value))


def _escaped(label: str) -> str:
    return label.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

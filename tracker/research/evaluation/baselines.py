"""What there is to beat: MediaPipe, measured once by the same definitions as ours.

Figures are means over the four EgoDex clips of the development set, sums for switches and fragments; the
answers were shifted by the clips' known lateness. MediaPipe's places in space are PnP (SQPNP) of its world
landmarks, as its users take them. legacy: 0.10.21, complexity 1, video; Tasks: 1.2.2, video mode; both on a
plain CPU. hand_graph_cnn: 100 other crops of the same set as those of the development set.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Baseline:
    """Another tracker's figures on one data set, by the names of `ClipMetrics`."""

    system: str
    source: str
    """The data set."""
    figures: Mapping[str, float]


BASELINES = (
    Baseline(
        "MediaPipe legacy",
        "EgoDex",
        {
            "recall": 0.795,
            "recall_any": 0.946,
            "precision": 0.998,
            "side_error": 0.166,
            "id_switches": 37,
            "fragments": 11,
            "fragments_ideal": 8,
            "first_match_frames": 4.0,
            "error_2d_px": 24.4,
            "pck_20": 0.759,
            "mpjpe_mcp_mm": 28.9,
            "pa_mpjpe_mm": 19.9,
            "bone_variation": 0.12,
            "acceleration_mcp_mm_s2": 11_500,
            "true_acceleration_mcp_mm_s2": 610,
            "acceleration_error_camera_mm_s2": 31_100,
            "rest_range_mm": 6.3,
            "true_rest_range_mm": 0.4,
            "velocity_correlation_px": 0.91,
            "lag_px": 0.0,
        },
    ),
    Baseline(
        "MediaPipe Tasks",
        "EgoDex",
        {
            "recall": 0.804,
            "recall_any": 0.957,
            "precision": 1.0,
            "side_error": 0.159,
            "id_switches": 33,
            "fragments": 10,
            "fragments_ideal": 8,
            "first_match_frames": 4.1,
            "error_2d_px": 24.3,
            "pck_20": 0.768,
            "mpjpe_mcp_mm": 28.7,
            "pa_mpjpe_mm": 19.9,
            "bone_variation": 0.12,
            "acceleration_mcp_mm_s2": 11_300,
            "true_acceleration_mcp_mm_s2": 610,
            "acceleration_error_camera_mm_s2": 30_300,
            "rest_range_mm": 5.9,
            "true_rest_range_mm": 0.4,
            "velocity_correlation_px": 0.90,
            "lag_px": 0.0,
        },
    ),
    Baseline(
        "MediaPipe legacy",
        "hand_graph_cnn",
        {"mpjpe_mcp_mm": 15.5, "pa_mpjpe_mm": 11.6, "mpjpe_camera_mm": 43, "range_bias_mm": -34},
    ),
    Baseline(
        "MediaPipe Tasks",
        "hand_graph_cnn",
        {"mpjpe_mcp_mm": 16.6, "pa_mpjpe_mm": 12.4, "mpjpe_camera_mm": 44, "range_bias_mm": -41},
    ),
)

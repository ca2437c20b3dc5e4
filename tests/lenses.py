"""One calibration for each kind of lens that people use, and some that hardly anybody does."""

from tracker.cameras import BrownConrady, Camera, KannalaBrandt, Pinhole

LENSES: dict[str, Camera] = {
    "pinhole": Pinhole(640, 480, 500.0, 510.0, 322.4, 236.1),
    "webcam": BrownConrady(640, 480, 512.25, 511.75, 318.5, 241.0, (-0.21, 0.07, 0.001, -0.0005)),
    "barrel": BrownConrady(640, 480, 400.0, 402.0, 325.0, 233.0, (-0.3, 0.14, 0.003, -0.004, -0.03)),
    "pincushion": BrownConrady(640, 480, 480.0, 480.0, 319.5, 239.5, (0.25, 0.12, -0.002, 0.003, 0.05)),
    "rational": BrownConrady(
        1280, 720, 608.0, 608.0, 640.0, 366.0, (0.45, -2.6, 8e-4, -3e-4, 1.5, 0.33, -2.4, 1.43)
    ),
    "fisheye": KannalaBrandt(848, 800, 285.0, 286.0, 421.0, 397.0, (-0.007, 0.044, -0.041, 0.007)),
    "sphere": KannalaBrandt(640, 640, 150.0, 150.0, 319.5, 319.5, (0.0, 0.0, 0.0, 0.0)),
    "headset": KannalaBrandt(512, 512, 190.0, 190.0, 255.5, 255.5, (0.21, -0.1, 0.03, -0.004)),
}

FOLDING = {
    "folding barrel": BrownConrady(640, 480, 300.0, 300.0, 319.5, 239.5, (-0.4, 0.05, 0.002, -0.001)),
    "folding fisheye": KannalaBrandt(640, 640, 160.0, 160.0, 319.5, 319.5, (-0.1, -0.01, 0.0, 0.0)),
}
"""Lenses whose formula folds back inside the picture: their corners show nothing."""

"""One calibration for each kind of lens that people use, and some that hardly anybody does."""

from tracker.cameras import BrownConrady, Camera, Fisheye62, Fisheye624, KannalaBrandt, Pinhole

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
    "aria slam": Fisheye62(
        640, 480, 249.0, 249.0, 318.6, 238.9, (-0.026, 0.101, -0.071, 0.0125, 0.0012, -0.0004, 6e-4, -5e-4)
    ),
    "aria rgb": Fisheye624(
        1408,
        1408,
        611.0,
        611.0,
        715.4,
        705.2,
        (0.36, -0.32, 0.13, 0.02, -0.04, 0.009, 3e-4, -7e-4, -2.1e-3, 4e-4, 9e-4, -3e-4),
    ),
    "strong prism": Fisheye624(
        512,
        480,
        190.0,
        185.0,
        250.0,
        241.0,
        (0.02, 0.01, 0, 0, 0, 0, 0.02, -0.015, 0.03, -0.01, -0.02, 0.004),
    ),
    "headset": KannalaBrandt(512, 512, 190.0, 190.0, 255.5, 255.5, (0.21, -0.1, 0.03, -0.004)),
}

FOLDING = {
    "folding barrel": BrownConrady(640, 480, 300.0, 300.0, 319.5, 239.5, (-0.4, 0.05, 0.002, -0.001)),
    "folding fisheye": KannalaBrandt(640, 640, 160.0, 160.0, 319.5, 319.5, (-0.1, -0.01, 0.0, 0.0)),
    "folding aria": Fisheye62(640, 640, 160.0, 160.0, 319.5, 319.5, (-0.1, -0.01, 0, 0, 0, 0, 0.004, -0.003)),
    "folding prism": Fisheye624(
        640, 640, 150.0, 150.0, 319.5, 319.5, (0, 0, 0, 0, 0, 0, 0.01, 0.02, -0.05, -0.04, 0.02, 0.03)
    ),
}
"""Lenses whose formula folds back inside the picture: their corners show nothing."""

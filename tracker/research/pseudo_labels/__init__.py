"""Pseudo labels: hands of a body model fitted to noisy 3D keypoints, with residuals to drop bad ones by."""

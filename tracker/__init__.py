"""Real-time first-person hand tracking: both hands in metres in the camera frame."""

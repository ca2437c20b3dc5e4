"""What links frames: who is who, which side, how large, how fast; smoothing and prediction.

Flows in: detections, then placed poses, with their capture times. Flows out: `TrackedHand`s, and the regions
where the hands are expected in the next frame.
"""

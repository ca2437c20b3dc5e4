"""Run the pipeline over a source: recorded files frame by frame, live feeds always on the newest frame.

Flows in: a source, ``process`` and sinks. Flows out: what the sinks keep, and counts of the run.
"""

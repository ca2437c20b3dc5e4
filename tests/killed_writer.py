"""A program that records into the file named until it is killed, and prints each frame once it is sent."""

import sys
import time

from tracked_values import some_info, two_hands

from tracker.sinks import open_sink

if __name__ == "__main__":
    sink = open_sink(sys.argv[1])
    sink.begin(some_info())
    for index in range(10_000):
        sink.send(two_hands(index), None)
        print(index, time.monotonic(), flush=True)
        time.sleep(0.05)  # few enough that no chunk is full before its time

"""How the tracker is measured: readers of recorded truth, simulations, metrics. Tracking needs none of it."""

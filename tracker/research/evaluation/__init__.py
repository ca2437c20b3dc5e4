"""How good the tracker is: against recorded truth, and in simulation."""

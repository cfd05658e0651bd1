"""Compares what a state declares with a Docker engine. `comparison.compare` and `repair` are its interface."""

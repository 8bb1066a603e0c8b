"""Measurements: `python -m bench` prints the figures, each as a ratio to something run beside it."""

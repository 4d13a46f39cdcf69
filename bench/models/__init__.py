"""Benchmarks of whole training steps."""

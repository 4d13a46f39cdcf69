"""Benchmarks of single operations, one file per room."""

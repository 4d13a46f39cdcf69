"""Benchmarks of the core: overhead per operation, captured replay, import."""

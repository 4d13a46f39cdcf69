"""`ranvier bench`: handed on to `ranvier.bench`."""

from __future__ import annotations

import argparse


def main(options: argparse.Namespace) -> int:
    """Run the benchmarks."""
    from ranvier import bench

    return int(bench.main(options.arguments) or 0)

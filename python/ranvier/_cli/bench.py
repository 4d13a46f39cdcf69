"""`ranvier bench`: handed on to `ranvier.bench`."""

from __future__ import annotations

import argparse


def main(options: argparse.Namespace) -> int:
    """Run the benchmarks."""
    from ranvier.bench import runner

    return int(runner.main(options.arguments) or 0)

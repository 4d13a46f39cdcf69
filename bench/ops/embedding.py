"""Rows of a table by index: characters and words."""

from __future__ import annotations

from ranvier.bench.ops._calls import row

ROWS = [
    row(
        f"{tokens} of {entries}x{size}",
        {"w": (entries, size), "i": lambda rng, n=entries, m=tokens: rng.integers(0, n, m)},
        lambda f, t: f.embedding(t["i"], t["w"]),
        moved=2.0 * tokens / entries,
    )
    for tokens, entries, size in [(2048, 64, 64), (8192, 20_000, 128)]
]

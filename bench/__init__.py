"""Microbenchmarks of ranvier beside its peers: `ranvier.bench`, run by `ranvier bench`.

Fair by construction: every peer runs in a process of its own, rounds are interleaved A B A B, data
is random, precision is the same, and a result is checked before it is timed. Quoted are medians
over the rounds and the median of the ratios round by round: on a noisy machine ratios hold where
absolute times drift.

A file in `bench/ops` or `bench/models` defines `ROWS`, a list of `Row`:

    def data(rng):
        return {"x": rng.standard_normal((64, 128), dtype=np.float32)}

    def ours(d):                      # builds one step; everything here is outside the timing
        import ranvier as rv
        x = rv.tensor(d["x"])
        return lambda: rv.functional.relu(x)

    def torch(d):
        import torch
        x = torch.tensor(d["x"])
        return lambda: torch.relu(x)

    ROWS = [Row("relu 64x128", data, {"ranvier": ours, "torch": torch}, bytes=2 * 64 * 128 * 4)]

`bench/rows.txt` lists every row: `ranvier bench --list > bench/rows.txt` after one was added; none
is ever dropped. `musts.py` says which ratios rows must reach, `curves.py` how cost is to grow;
`report.py` judges; `pages.py` and `plots.py` write what `docs/benchmarks` shows from one JSON file.
"""

from ranvier.bench.suite import Row, find_rows

__all__ = ["Row", "find_rows"]

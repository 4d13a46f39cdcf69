"""Gated linear units over the last axis."""

from __future__ import annotations

from ranvier.bench.ops._calls import row

ROWS = [row("4096x512", {"x": (4096, 512)}, lambda f, t: f.glu(t["x"]), moved=1.5)]

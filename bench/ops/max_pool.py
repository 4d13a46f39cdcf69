"""Max pooling at the sizes of real networks, forward and with the gradient."""

from __future__ import annotations

from ranvier.bench.ops._pools import CASES, row

ROWS = [row("max_pool2d", *case, train) for case in CASES for train in (False, True)]

"""The shapes of room lstm for room gru."""

from ranvier.bench.ops.lstm import rows_of

ROWS = rows_of("gru")

"""The shapes of room lstm for room rnn."""

from ranvier.bench.ops.lstm import rows_of

ROWS = rows_of("rnn")

"""Differentiable operations, one room each: the same stem in csrc/ops, reference and tests."""

"""The course's formulas in NumPy: every op of ranvier, forward and backward, obvious before fast.

One module per room, under the stem that the op has everywhere else. A module knows NumPy and other
reference modules, nothing of ours: it is the yardstick, so it must not lean on what it measures.

Two conventions make one harness fit all of them (``tests/harness.py``):

* ``f(*arrays, **options)`` takes the arguments of the public op and computes in the dtype it is
  given; the tests give float64.
* ``f_backward(grad, *arrays, **options)`` takes the gradient of a scalar loss with respect to the
  output of ``f``, then everything that ``f`` took, and returns the gradient with respect to each
  array: a tuple in the order of the arguments, or the array itself when there is only one. An
  argument that has no gradient (indices, a condition) gets None.
"""

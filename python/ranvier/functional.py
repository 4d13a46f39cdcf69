"""Every differentiable operation, under the name and argument order that PyTorch users know.

One import line per room; nothing else lives here.
"""

from ranvier.ops.binary import add, divide, maximum, minimum, multiply, power, subtract  # noqa: F401

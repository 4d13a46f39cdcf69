"""Models of the course, by name: `ranvier.models.get("lenet")`."""

from ranvier.models.lenet import LeNet, lenet
from ranvier.models.mlp import mlp
from ranvier.models.registry import get, names, options, register

__all__ = ["LeNet", "get", "lenet", "mlp", "names", "options", "register"]

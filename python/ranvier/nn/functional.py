"""`ranvier.functional` under PyTorch's path: `import ranvier.nn.functional as F`."""

from ranvier.functional import *  # noqa: F403 - every public name, as it is

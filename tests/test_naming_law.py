"""The law of the tree: one op is one room, knowledge points down, optional packages stay optional.

An op has one stem everywhere (``csrc/ops``, ``python/ranvier/ops``, ``python/ranvier/reference``,
``tests/ops``, ``bench/ops``, ``cuda/ops``). These tests read files; they import nothing.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = Path("python/ranvier")

# Who may know whom: a module imports only from levels below its own, or from its own folder.
# Single files beside tensor.py that are not listed belong to the core.
LEVELS = {
    "_core": 0,
    "core": 1,
    "ops": 2,
    "functional": 3,
    "nn": 4,
    "optim": 4,
    "data": 4,
    "names": 4,
    "io": 4,
    "summary": 5,
    "neurons": 5,
    "train": 5,
    "models": 5,
    "interpret": 5,
    "distributed": 5,
    "bench": 6,
    "cli": 7,
    "__main__": 8,
}

# A folder that is about an optional package may need it to be loaded; its front door may not.
NEEDS = {Path("io/onnx"): ("onnx", "ml_dtypes")}

# Hot ops whose CUDA variant is still to be written.
CUDA_TO_COME: set[str] = set()
INCLUDE = re.compile(r'^\s*#include\s+([<"])([^>"]+)', re.MULTILINE)


def stems(folder: Path, *suffixes: str) -> set[str]:
    """Stems of the rooms in a folder: the name up to the first dot."""
    return {
        path.name.split(".")[0]
        for path in folder.glob("*")
        if path.name.endswith(suffixes)
        and not path.name.startswith("_")
        and not path.name.split(".")[0].endswith("_impl")
    }


def rooms(root: Path) -> set[str]:
    """Every stem that is an op: compiled, or composed in Python."""
    return stems(root / "csrc/ops", ".h", ".cpp") | stems(root / PACKAGE / "ops", ".py")


def missing_files(root: Path) -> list[str]:
    """Files that the law asks for and that are not there."""
    wanted = []
    for stem in sorted(rooms(root)):
        wanted += [PACKAGE / f"reference/{stem}.py", Path(f"tests/ops/test_{stem}.py")]
        header = root / f"csrc/ops/{stem}.h"
        if header.exists() and header.read_text().split("\n", 1)[0].strip().startswith("// hot"):
            wanted.append(Path(f"bench/ops/{stem}.py"))
            to_come = CUDA_TO_COME if root == ROOT else set()
            if (root / "cuda/ops").is_dir() and stem not in to_come:
                wanted.append(Path(f"cuda/ops/{stem}.cu"))
    return [str(path) for path in wanted if not (root / path).exists()]


def imports(path: Path, package: tuple[str, ...]) -> Iterator[tuple[str, bool]]:
    """Absolute names of what a file imports, and whether it does so when it is loaded itself.

    Imports for the type checker alone are left out.
    """

    def visit(node: ast.AST, at_load: bool) -> Iterator[tuple[str, bool]]:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            return
        if isinstance(node, ast.Import):
            yield from ((alias.name, at_load) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((f"{module}.{alias.name}", at_load) for alias in node.names)
        inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            yield from visit(child, at_load and not inside)

    yield from visit(ast.parse(path.read_text()), True)


def modules(root: Path) -> Iterator[tuple[Path, tuple[str, ...], list[tuple[str, bool]]]]:
    """Each file of the package: its path inside it, its package's name, what it imports."""
    base = root / PACKAGE
    for path in sorted(base.rglob("*.py")):
        inside = path.relative_to(base)
        package = ("ranvier", *inside.parts[:-1])
        yield inside, package, list(imports(path, package))


def level_of(parts: tuple[str, ...], root: Path) -> tuple[str, int]:
    """The folder or file of the package that a dotted name belongs to, and its level."""
    name = parts[1] if len(parts) > 1 else ""
    if name not in LEVELS:
        name = name.removeprefix("_")  # the private folder of a public file: _cli of cli
    if name in LEVELS:
        return name, LEVELS[name]
    return "core", LEVELS["core"]


def wrong_knowledge(root: Path) -> list[str]:
    """Imports inside the package that point up or, between ops, sideways."""
    problems = []
    for inside, package, imported in modules(root):
        if inside == Path("__init__.py"):
            continue  # the package's own front door shows all of it
        own = (*package, inside.stem)
        if own[1] == "reference":
            bad = [n for n, _ in imported if not _known_to_reference(n)]
        else:
            area, level = level_of(own, root)
            bad = []
            for name, _ in imported:
                parts = tuple(name.split("."))
                if parts[0] != "ranvier":
                    continue
                other_area, other_level = level_of(parts, root)
                sideways_op = (
                    area == other_area == "ops"
                    and inside.name != "__init__.py"
                    and len(parts) > 2
                    and not parts[2].startswith("_")
                )
                up = other_level > level or (other_level == level and other_area != area)
                if up or sideways_op or parts[1:2] == ("reference",):
                    bad.append(name)
        problems += [f"{inside} knows {name}" for name in bad]
    return problems


def _known_to_reference(name: str) -> bool:
    top = name.split(".")[0]
    return top == "numpy" or top in sys.stdlib_module_names or name.startswith("ranvier.reference.")


def wrong_includes(root: Path) -> list[str]:
    """C++ includes that point up or sideways, and C++ library headers in instruction-set files.

    An ``_impl.h`` may include the header of the room whose name it begins with.
    """
    problems = []
    for folder in ("csrc/core", "csrc/ops", "cuda/core", "cuda/ops"):
        for path in sorted((root / folder).glob("*")):
            if path.suffix not in (".h", ".cpp", ".cu", ".cuh"):
                continue
            stem = path.name.split(".")[0]
            for bracket, name in re.findall(
                r'^\s*#include\s+([<"])([^>"]+)', path.read_text(), re.M
            ):
                wrong = False
                if bracket == "<":
                    wrong = path.name.endswith(".simd.cpp") and not name.endswith(".h")
                elif folder.endswith("/core"):
                    wrong = "ops/" in name
                elif "ops/" in name or "/" not in name:
                    other = Path(name).name.split(".")[0]
                    part_of_it = stem.endswith("_impl") and stem.startswith(other)
                    wrong = other != stem and not other.endswith("_impl") and not part_of_it
                if wrong:
                    problems.append(f"{folder}/{path.name} includes {name}")
    return problems


def foreign_imports(root: Path) -> list[str]:
    """Imports of what a plain installation lacks, made when a module is loaded; and of peers."""
    problems = []
    for inside, _, imported in modules(root):
        own = [n for f, names in NEEDS.items() if f in inside.parents for n in names]
        if inside.name == "__init__.py" and inside.parent in NEEDS:
            own = []
        for name, at_load in imported:
            top = name.split(".")[0]
            if top in ("torch", "tensorflow", "jax"):
                problems.append(f"{inside} imports {top}: peers belong to the benchmarks")
            elif top in ("pickle", "dill", "shelve", "marshal", "cloudpickle"):
                problems.append(f"{inside} imports {top}: no file of ours is a pickle")
            elif at_load and top not in ("numpy", "ranvier", *own, *sys.stdlib_module_names):
                problems.append(f"{inside} imports {top} at load time: move it into a function")
    return problems


def test_every_room_is_complete():
    assert rooms(ROOT), "no op was found: is this the repository?"
    assert missing_files(ROOT) == []


def test_knowledge_points_down():
    assert wrong_knowledge(ROOT) == []


def test_includes_point_down():
    assert wrong_includes(ROOT) == []


def test_only_numpy_is_needed():
    assert foreign_imports(ROOT) == []


def test_no_pickled_array_is_read():
    texts = {path: path.read_text() for path in (ROOT / PACKAGE).rglob("*.py")}
    assert [
        str(p) for p, text in texts.items() if re.search(r"allow_pickle\s*=\s*True", text)
    ] == []


@pytest.fixture
def tree(tmp_path):
    """A small tree that keeps the law; each test below breaks it once."""
    for path, text in {
        "csrc/core/array.h": "#include <vector>\n",
        "csrc/ops/conv2d.h": '// hot\n#include "core/array.h"\n',
        "csrc/ops/conv2d.simd.cpp": '#include <stdint.h>\n#include "ops/conv2d.h"\n',
        "python/ranvier/tensor.py": "import numpy as np\nfrom . import _core\n",
        "python/ranvier/ops/conv2d.py": "from ..tensor import Tensor\n",
        "python/ranvier/reference/conv2d.py": "import numpy\nfrom .matmul import matmul\n",
        "python/ranvier/nn/layers.py": "from ranvier import functional as F\n",
        "tests/ops/test_conv2d.py": "",
        "bench/ops/conv2d.py": "",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    assert all(not check(tmp_path) for check in CHECKS)
    return tmp_path


CHECKS = (missing_files, wrong_knowledge, wrong_includes, foreign_imports)


@pytest.mark.parametrize(
    ("path", "text", "check"),
    [
        ("csrc/ops/softmax.cpp", "", missing_files),
        ("cuda/ops/matmul.cu", "", missing_files),
        ("python/ranvier/ops/relu.py", "", missing_files),
        ("csrc/core/array.h", '#include "ops/copy.h"\n', wrong_includes),
        ("csrc/ops/conv2d.h", '#include "ops/matmul.h"\n', wrong_includes),
        ("csrc/ops/conv2d.simd.cpp", "#include <algorithm>\n", wrong_includes),
        ("python/ranvier/tensor.py", "import onnx\n", foreign_imports),
        ("python/ranvier/io/onnx/__init__.py", "import onnx\n", foreign_imports),
        ("python/ranvier/io/onnx/backend.py", "import tqdm\n", foreign_imports),
        ("python/ranvier/tensor.py", "def f():\n    from .ops import relu\n", wrong_knowledge),
        ("python/ranvier/ops/conv2d.py", "from .matmul import matmul\n", wrong_knowledge),
        ("python/ranvier/nn/layers.py", "from ranvier.train import fit\n", wrong_knowledge),
        ("python/ranvier/nn/layers.py", "from ..optim import SGD\n", wrong_knowledge),
        ("python/ranvier/nn/layers.py", "from .._cli import main\n", wrong_knowledge),
        ("python/ranvier/reference/conv2d.py", "from ..ops import conv2d\n", wrong_knowledge),
        ("python/ranvier/reference/conv2d.py", "import scipy\n", wrong_knowledge),
        ("python/ranvier/tensor.py", "from tqdm import tqdm\n", foreign_imports),
        ("python/ranvier/tensor.py", "def f():\n    import torch\n", foreign_imports),
        ("python/ranvier/tensor.py", "import pickle\n", foreign_imports),
    ],
)
def test_a_broken_law_is_noticed(tree, path, text, check):
    (tree / path).parent.mkdir(parents=True, exist_ok=True)
    (tree / path).write_text(text)
    assert check(tree), f"{check.__name__} overlooked {path}"

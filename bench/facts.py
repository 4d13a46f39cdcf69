"""What is not a kernel: time to import, size on disk, and what a call through the binding costs."""

from __future__ import annotations

import importlib.util
import os
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROUNDS = 5
LIBRARIES = ("ranvier", "numpy", "torch", "jax")


@dataclass
class Fact:
    """One number per library or tool.

    Attributes:
        unit: "s" or "bytes".
        note: what was measured, or why something was left out.
    """

    name: str
    unit: str
    values: dict[str, float] = field(default_factory=dict)
    note: str = ""


def installed(library: str) -> bool:
    """Whether this interpreter finds the library."""
    return importlib.util.find_spec(library) is not None


def import_time() -> Fact:
    """Of each library in a fresh process: median of interleaved rounds."""
    libraries = [name for name in LIBRARIES if installed(name)]
    times: dict[str, list[float]] = {name: [] for name in libraries}
    with tempfile.TemporaryDirectory() as byte_code:
        # Compiled once, as an installer does it, also from a source tree.
        environment = dict(os.environ, PYTHONDONTWRITEBYTECODE="", PYTHONPYCACHEPREFIX=byte_code)
        for _ in range(1 + ROUNDS):
            for name in libraries:
                code = (
                    "import time; start = time.perf_counter(); "
                    f"import {name}; print(time.perf_counter() - start)"
                )
                done = subprocess.run(
                    [sys.executable, "-c", code],
                    capture_output=True, text=True, check=True, env=environment,
                )  # fmt: skip
                times[name].append(float(done.stdout.split()[-1]))
    values = {name: statistics.median(taken[1:]) for name, taken in times.items()}
    return Fact("import", "s", values, "fresh process; ranvier's and PyTorch's include NumPy's")


def size_on_disk(folder: Path) -> int:
    """Bytes of all files below a folder, byte code left out."""
    return sum(
        p.stat().st_size
        for p in folder.rglob("*")
        if p.is_file() and "__pycache__" not in p.parts and p.suffix != ".pyc"
    )


def install_size() -> Fact:
    """Bytes of the installed packages, their dependencies not counted."""
    values = {}
    for name in LIBRARIES:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            continue
        folder = Path(spec.origin).parent
        parts = [folder, *folder.parent.glob(f"{name}.libs"), *folder.parent.glob(f"{name}lib")]
        values[name] = float(sum(size_on_disk(p) for p in parts))
    note = "files of the package, without its dependencies"
    if "site-packages" not in str(Path(__file__).resolve()):
        note += "; ranvier from a source tree, its library with symbols"
    return Fact("size on disk", "bytes", values, note)


# The same module twice: a call with two integers, and one that takes and returns an object.
_SOURCE = """
struct Box { long value; };
static long add(long a, long b) { return a + b; }
static Box next(const Box &box) { return {box.value + 1}; }
"""
_BINDINGS = {
    "nanobind": "#include <nanobind/nanobind.h>\nnamespace b = nanobind;" + _SOURCE + """
NB_MODULE(NAME, m) {
  b::class_<Box>(m, "Box").def(b::init<long>());
  m.def("add", &add);
  m.def("next", &next);
}
""",
    "pybind11": "#include <pybind11/pybind11.h>\nnamespace b = pybind11;" + _SOURCE + """
PYBIND11_MODULE(NAME, m) {
  b::class_<Box>(m, "Box").def(b::init<long>());
  m.def("add", &add);
  m.def("next", &next);
}
""",
}  # fmt: skip


def _sources(binding: str) -> tuple[list[Path], list[Path]]:
    """Folders of headers and files to compile with the module."""
    spec = importlib.util.find_spec(binding)
    assert spec is not None
    assert spec.origin is not None
    root = Path(spec.origin).parent
    headers = [root / "include", Path(sysconfig.get_paths()["include"])]
    if binding == "nanobind":
        robin = root / "ext" / "robin_map" / "include"
        return [*headers, robin], [root / "src" / "nb_combined.cpp"]
    return headers, []


def build_binding(binding: str, folder: Path, compiler: str) -> tuple[Path, float]:
    """Compiles the little module; its path, and how long its own file took."""
    module = f"bound_by_{binding}"
    source = folder / f"{module}.cpp"
    source.write_text(_BINDINGS[binding].replace("NAME", module))
    headers, others = _sources(binding)
    flags = [
        "-O3",
        "-DNDEBUG",
        "-std=c++17",
        "-fPIC",
        "-fvisibility=hidden",
        "-fno-strict-aliasing",
    ]
    flags += [f"-I{h}" for h in headers]
    objects, seconds = [], 0.0
    for file in [source, *others]:
        target = folder / f"{binding}-{file.stem}.o"
        started = time.perf_counter()
        subprocess.run(
            [compiler, *flags, "-c", str(file), "-o", str(target)], check=True, capture_output=True
        )
        if file == source:
            seconds = time.perf_counter() - started
        objects.append(str(target))
    library = folder / f"{module}{sysconfig.get_config_var('EXT_SUFFIX')}"
    subprocess.run(
        [compiler, "-shared", "-s", "-Wl,--gc-sections", *objects, "-o", str(library)],
        check=True, capture_output=True,
    )  # fmt: skip
    return library, seconds


_CALL = """
import sys, time
sys.path.insert(0, {folder!r})
import {module} as m
box, add, following = m.Box(1), m.add, m.next
def measure(call):
    best = 1e9
    for _ in range(7):
        start = time.perf_counter()
        call(200_000)
        best = min(best, (time.perf_counter() - start) / 200_000)
    return best
def integers(n):
    for _ in range(n):
        add(1, 2)
def objects(n):
    for _ in range(n):
        following(box)
def nothing(n):
    for _ in range(n):
        pass
idle = measure(nothing)
print(measure(integers) - idle, measure(objects) - idle)
"""


def bindings() -> Iterator[Fact]:
    """What a call costs through nanobind and through pybind11, why we chose the first."""
    compiler = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
    missing = [name for name in _BINDINGS if not installed(name)]
    if missing or compiler is None:
        what = " and ".join(missing) or "a C++ compiler"
        yield Fact("call through the binding", "s", {}, f"left out: {what} not installed")
        return
    titles = ("binding: f(int, int)", "binding: object to new object", "binding: compiling it",
              "binding: size of its library")  # fmt: skip
    facts = [Fact(title, "bytes" if "size" in title else "s") for title in titles]
    facts[0].note = "the same module of two functions; a call, the loop around it taken off"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for binding in _BINDINGS:
            try:
                library, seconds = build_binding(binding, folder, compiler)
            except subprocess.CalledProcessError as error:
                said = error.stderr.decode(errors="replace").strip().splitlines()
                reason = said[0] if said else error
                yield Fact("call through the binding", "s", {}, f"{binding} failed: {reason}")
                return
            code = _CALL.format(folder=name, module=f"bound_by_{binding}")
            rounds = [
                subprocess.run(
                    [sys.executable, "-c", code], capture_output=True, text=True, check=True
                ).stdout.split()
                for _ in range(3)
            ]
            facts[0].values[binding] = min(float(r[0]) for r in rounds)
            facts[1].values[binding] = min(float(r[1]) for r in rounds)
            facts[2].values[binding] = seconds
            facts[3].values[binding] = float(library.stat().st_size)
    yield from facts


def gather(report: Callable[[Fact], None]) -> None:
    """Measures every fact, handing each on as it comes."""
    report(import_time())
    report(install_size())
    for fact in bindings():
        report(fact)

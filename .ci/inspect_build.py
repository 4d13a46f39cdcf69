"""Checks of the gate on what was built and installed.

Usage: inspect_build.py BUILD_FOLDER

* Every weak symbol of an instruction-set object lies in that level's namespace: the linker merges
  equal inline functions across files, and an AVX-512 copy of one would crash an older machine.
* The extension links no OpenMP runtime, and loading it loads none.
* `import ranvier` imports no optional package.
* The installed package is below 15 MB, a wheel of it below 5 MB.
"""

import json
import os
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

LEVELS = ("baseline", "avx2", "avx512", "neon")
failures = []


def check(ok: bool, text: str) -> None:
    """Prints one line; a failed one fails the gate at the end."""
    print("ok  " if ok else "FAIL", text)
    if not ok:
        failures.append(text)


def run(*command: str) -> str:
    """Standard output of a command that must succeed."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def weak_symbols(build: Path) -> None:
    """Every weak or unique symbol of a level's objects belongs to ranvier::<level>."""
    seen = 0
    for level in LEVELS:
        for path in sorted(build.glob(f"CMakeFiles/ranvier_{level}.dir/**/*.o")):
            seen += 1
            for line in run("nm", "-C", "--defined-only", str(path)).splitlines():
                parts = line.split(maxsplit=2)
                if (
                    len(parts) == 3
                    and parts[1] in "VvWwu"
                    and f"ranvier::{level}::" not in parts[2]
                ):
                    check(False, f"{path.name} at {level} has the weak symbol {parts[2]}")
    check(seen > 0, f"weak symbols of {seen} instruction-set objects are in their namespaces")


def installed_size() -> None:
    """Sizes of the installed package, and of a wheel with the same files."""
    distribution = metadata.distribution("ranvier")
    files = [Path(str(distribution.locate_file(f))) for f in distribution.files or ()]
    files = [f for f in files if f.is_file() and f.suffix != ".pyc"]
    size = sum(f.stat().st_size for f in files) / 1e6
    check(size < 15, f"installed package {size:.2f} MB, limit 15 MB")
    archive = Path(os.environ.get("TMPDIR", "/tmp")) / f"ranvier-size-{os.getpid()}.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as z:
        for f in files:
            z.write(f, f.name + str(hash(f)))
    wheel = archive.stat().st_size / 1e6
    archive.unlink()
    check(wheel < 5, f"compressed like a wheel {wheel:.2f} MB, limit 5 MB")


def imports() -> None:
    """`import ranvier` in a fresh interpreter: modules, shared libraries, time."""
    code = (
        "import time, numpy; t = time.perf_counter(); import ranvier;"
        "t = time.perf_counter() - t; import sys, json;"
        "maps = open('/proc/self/maps').read() if sys.platform == 'linux' else '';"
        "print(json.dumps([t, sorted({m.split('.')[0] for m in sys.modules}),"
        "sorted({l.split()[-1] for l in maps.splitlines() if '.so' in l})]))"
    )
    seconds, modules, libraries = json.loads(run(sys.executable, "-c", code))
    optional = {"tqdm", "matplotlib", "PIL", "pooch", "sklearn", "scipy", "torch", "onnx",
                "safetensors", "pytest", "hypothesis", "argparse"}  # fmt: skip
    found = sorted(optional & set(modules))
    check(
        not found, f"import ranvier imports no optional package{': ' + str(found) if found else ''}"
    )
    openmp = [x for x in libraries if any(n in x for n in ("gomp", "libomp", "iomp"))]
    check(not openmp, f"no OpenMP runtime is loaded {openmp or ''}")
    print(f"     import ranvier over numpy: {seconds * 1e3:.0f} ms")
    import ranvier._core

    linked = run("ldd", ranvier._core.__file__)
    check("omp" not in linked.lower(), "the extension links no OpenMP runtime")
    print("     " + "\n     ".join(sorted(x.strip() for x in linked.splitlines())))


def flags(build: Path) -> None:
    """Kernels are compiled for speed: no -Os anywhere, no contraction of multiply-adds."""
    commands = json.loads((build / "compile_commands.json").read_text())
    ours = [c for c in commands if "csrc" in c["file"]]
    bad = [
        c["file"] for c in ours if " -Os" in c["command"] or "-ffp-contract=off" not in c["command"]
    ]
    check(bool(ours) and not bad, f"compile flags of {len(ours)} objects {bad or ''}")


build_folder = Path(sys.argv[1])
weak_symbols(build_folder)
flags(build_folder)
installed_size()
imports()
sys.exit(1 if failures else 0)

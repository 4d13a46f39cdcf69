"""What only a GPU can tell: curves beside the CPU's, determinism, and times beside PyTorch's.

    python bench/gpu.py [--out FOLDER] [--device cuda] [--part curves|kernels|steps|once] [--small]

**curves** trains LeNet and a character LSTM for some steps from the same weights on the cpu and on
the device, twice there: losses beside each other, and whether both runs have the same bits.
**kernels** times one op a row: ours in each precision ("highest", "high", "medium"), products also
in bfloat16 and by the kernels that no GPU has proven yet (`rv.cuda.allow_unproven`), after their
results were held against float32's; PyTorch in strict float32, TF32 and bfloat16, images also in
channels_last; and the share of the copy bandwidth that ops bound by it reach. **steps** times whole
training steps: ours eager and captured, PyTorch eager, with channels_last, as a CUDA graph and
compiled, in strict float32, TF32 and mixed precision. **once** runs each op of **kernels** once, in
two precisions, for a profiler.

A time is the median of the rounds, each of enough calls to last a while; all columns take turns,
and the queue is drained before and after. Tables go to FOLDER/NAME.md with the device and versions,
line by line, so that a part that is cut short leaves what it has. An unproven kernel is tried in a
process of its own first: if it hangs or fails there, its columns are left out. --small takes tiny
shapes, to see whether it runs (on the cpu or the emulation, too). Where the device cannot be used,
a table says "Not measured" and why, and the exit code is 3; it is 1 where something is wrong.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import ranvier as rv
import ranvier.functional as F
from ranvier import nn, optim

try:
    import torch
except ImportError:
    torch = None  # type: ignore[assignment]

Call = Callable[[], Any]


@dataclass
class Setting:
    """Where and how long things are measured."""

    device: str
    rounds: int
    small: bool

    @property
    def on_gpu(self) -> bool:
        return self.device.startswith("cuda")

    @property
    def peer(self) -> bool:
        return torch is not None

    @property
    def torch_device(self) -> str:  # the cpu beside the emulation
        return self.device if self.on_gpu and torch.cuda.is_available() else "cpu"

    def drain(self) -> None:
        if self.on_gpu:
            rv.cuda.synchronize(self.device)
            if self.peer and self.torch_device != "cpu":
                torch.cuda.synchronize()

    def put(self, a: np.ndarray) -> rv.Tensor:
        return rv.tensor(a, device=self.device)


# ---- Timing -------------------------------------------------------------------------------------


def once(call: Call, setting: Setting) -> float:
    """Seconds of one call, from as many as fill a while."""
    seconds = 0.002 if setting.small else 0.02
    call()
    setting.drain()
    start = time.perf_counter()
    call()
    setting.drain()
    count = max(1, int(seconds / max(time.perf_counter() - start, 1e-7)))
    start = time.perf_counter()
    for _ in range(count):
        call()
    setting.drain()
    return (time.perf_counter() - start) / count


@dataclass(frozen=True)
class Way:
    """How a column computes: ours at a precision, by an unproven path; PyTorch with TF32 or not."""

    label: str
    precision: str = "highest"
    path: str | None = None  # or several, with commas
    of_images: bool | None = None  # whether the path takes convolutions; None: all products
    dtype: Any = None  # float32 unless given
    tf32: bool = False


OURS = [
    Way("highest"),
    Way("high", "high"),
    Way("medium", "medium"),
    Way("bfloat16", dtype=rv.bfloat16),
    Way("3xTF32, unproven", path="tf32x3"),
    Way("Hopper TF32, unproven", "high", "hopper", False),
    Way("Hopper bfloat16, unproven", path="hopper", of_images=False, dtype=rv.bfloat16),
    Way("Hopper narrow bfloat16, unproven", path="hopper,hopper_narrow", of_images=False,
        dtype=rv.bfloat16),
    Way("gathered TF32, unproven", "high", "hopper_gather"),
    Way("gathered bfloat16, unproven", path="hopper_gather", dtype=rv.bfloat16),
    Way("im2col TF32, unproven", "high", "hopper_im2col", True),
    Way("im2col bfloat16, unproven", path="hopper_im2col", of_images=True, dtype=rv.bfloat16),
]  # fmt: skip


class Report(list[str]):
    """Lines that are printed, and kept in a file, as they come."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        if path:
            path.write_text("")

    def add(self, *lines: str) -> None:
        for line in lines:
            self.append(line)
            print(line, flush=True)
            if self.path:
                with self.path.open("a") as file:
                    file.write(line + "\n")


def probe(path: str) -> None:
    """A small call by an unproven path, held against the kernel that stands in for it."""
    rng = np.random.default_rng(0)

    def numbers(*shape: int) -> rv.Tensor:
        return rv.tensor(rng.standard_normal(shape).astype(np.float32), device="cuda")

    calls: list[Callable[[], rv.Tensor]]
    if path == "hopper_lstm":
        layer = nn.LSTM(16, 64).to("cuda")
        x = numbers(6, 9, 16)
        calls = [lambda: layer(x)[0]]
    else:
        a, w = numbers(200, 136), numbers(72, 136)
        image, filters = numbers(2, 16, 9, 9), numbers(24, 16, 3, 3)
        calls = [lambda: F.linear(a, w), lambda: F.linear(a.to(rv.bfloat16), w.to(rv.bfloat16))]
        if path in ("hopper_gather", "hopper_im2col"):
            calls += [lambda: F.conv2d(image, filters), lambda: w.T @ w]
            half = image.to(rv.bfloat16), filters.to(rv.bfloat16)
            calls += [lambda: F.conv2d(*half, stride=2, padding=1)]
    rv.set_matmul_precision("highest" if path == "tf32x3" else "high")
    for call in calls:
        rv.cuda.allow_unproven()
        reference = call().detach().to(rv.float32).cpu().numpy()
        rv.cuda.allow_unproven(*path.split(","))
        for _ in range(1 if rv.cuda.is_emulated() else 3):
            if not agree(lambda call=call: call().detach(), reference):
                raise SystemExit(f"{path}: a result is wrong")


_probes: dict[str, subprocess.Popen[str]] = {}


def start_probes(ways: list[Way]) -> None:
    """Tries the unproven paths of some ways, each in a process of its own, all at once."""
    for path in {way.path for way in ways if way.path} - set(_probes):
        _probes[path] = subprocess.Popen(
            [sys.executable, __file__, "--probe", path],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip


@functools.cache
def usable(path: str | None) -> bool:
    """Whether an unproven path that is being tried gives its results; says so if not."""
    if path is None:
        return True
    start_probes([Way(path, path=path)])
    process = _probes[path]
    reason: list[str] | None = None
    try:
        output, _ = process.communicate(timeout=120 if rv.cuda.is_emulated() else 30)
        if process.returncode:
            reason = output.strip().splitlines()[-1:]
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        reason = ["it hangs"]
    if reason is not None:
        print(f"WRONG: the path {path} cannot be used: {' '.join(reason)}", flush=True)
    return reason is None


@contextlib.contextmanager
def chosen(way: Way, on_gpu: bool) -> Iterator[None]:
    """The precision and path of the calls inside."""
    rv.set_matmul_precision(way.precision)
    if on_gpu:
        rv.cuda.allow_unproven(*(way.path.split(",") if way.path else []))
    if torch is not None:
        torch.backends.cuda.matmul.allow_tf32 = way.tf32
        torch.backends.cudnn.allow_tf32 = way.tf32
    try:
        yield
    finally:
        rv.set_matmul_precision("highest")
        if on_gpu:
            rv.cuda.allow_unproven()


def agree(call: Call, reference: np.ndarray) -> bool:
    """Whether a result is the reference but for 5 % of its largest number."""
    found = call().to(rv.float32).cpu().numpy()
    return bool(np.abs(found - reference).max() <= 0.05 * np.abs(reference).max())


def medians(columns: list[tuple[Way, Call]], setting: Setting) -> list[float | None]:
    """Seconds of each call in its way, taking turns; None for one that fails."""
    times: list[list[float]] = [[] for _ in columns]
    failed: set[int] = set()
    for _ in range(setting.rounds):
        for i, (way, call) in enumerate(columns):
            if i in failed:
                continue
            try:
                with chosen(way, setting.on_gpu):
                    times[i].append(once(call, setting))
            except Exception as error:  # one column must not lose the others: it shows as failed
                failed.add(i)
                print(f"  column {i} ({way.label}) failed: {type(error).__name__}: {error}")
    return [None if i in failed else statistics.median(t) for i, t in enumerate(times)]


def shown(seconds: float | None) -> str:
    return "failed" if seconds is None else f"{seconds * 1e3:.4f}"


# ---- Kernels ------------------------------------------------------------------------------------


@dataclass
class Row:
    """One op: our call and PyTorch's, made from the same arrays."""

    name: str
    arrays: list[np.ndarray]
    ours: Callable[..., Any]
    theirs: Callable[..., Any]
    work: float  # floating-point operations, or bytes
    product: bool = False  # has columns of its own for each precision
    image: bool = False  # the first array is one: channels_last, too


def _numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def _with_gradients(call: Callable[..., Any], wanted: Callable[..., Any]) -> Callable[..., Any]:
    """Forward and backward of `call` for tensors that want gradients."""

    def both(*tensors: Any) -> Any:
        for t in tensors:
            t.grad = None
        y = call(*tensors)
        y.backward(wanted(y))
        return y

    return both


def _ones_like(y: Any) -> Any:
    return (
        torch.ones_like(y) if torch is not None and isinstance(y, torch.Tensor) else _ours_like(y)
    )


_seeds: dict[tuple[tuple[int, ...], str], rv.Tensor] = {}


def _ours_like(y: rv.Tensor) -> rv.Tensor:
    key = (y.shape, str(y.device))
    if key not in _seeds:
        _seeds[key] = rv.ones(*y.shape, device=str(y.device))
    return _seeds[key]


def rows(small: bool) -> list[Row]:
    """The ops under test; `small` asks whether they run."""
    size, batch = (64, 1) if small else (4096, 64)

    def product(m: int, n: int, k: int) -> Row:
        return Row(f"matmul {m}x{k} by {k}x{n}", [_numbers(m, k), _numbers(k, n)],
                   lambda a, b: a @ b, lambda a, b: a @ b, 2.0 * m * n * k,
                   product=True)  # fmt: skip

    def layer(m: int, c: int, k: int) -> Row:
        return Row(
            f"linear {m}x{c} to {k}", [_numbers(m, c), _numbers(k, c)], F.linear,
            lambda x, w: torch.nn.functional.linear(x, w), 2.0 * m * c * k, product=True,
        )  # fmt: skip

    def convolution(n: int, c: int, image: int, k: int, kernel: int, grads: bool = False) -> Row:
        ours: Callable[..., Any] = functools.partial(F.conv2d, padding=kernel // 2)
        theirs: Callable[..., Any] = functools.partial(
            torch.nn.functional.conv2d, padding=kernel // 2
        )
        if grads:
            ours, theirs = _with_gradients(ours, _ones_like), _with_gradients(theirs, _ones_like)
        name = f"conv2d {n},{c},{image} to {k}, {kernel}x{kernel}" + (", training" if grads else "")
        work = 2.0 * n * c * image * image * k * kernel * kernel * (3 if grads else 1)
        return Row(name, [_numbers(n, c, image, image), _numbers(k, c, kernel, kernel)],
                   ours, theirs, work, product=True, image=True)  # fmt: skip

    def mapped(name: str, ours: Callable[..., Any], theirs: Callable[..., Any], moved: int) -> Row:
        x = _numbers(size, size)
        return Row(f"{name} {size}x{size}", [x], ours, theirs, float(moved * x.nbytes))

    image = _numbers(batch, 64, 56 if not small else 8, 56 if not small else 8)
    pooled = Row("max_pool2d 3x3, stride 2", [image], lambda x: F.max_pool2d(x, 3, 2),
                 lambda x: torch.nn.functional.max_pool2d(x, 3, 2), 1.25 * image.nbytes,
                 image=True)  # fmt: skip
    edge = 8 if small else 56
    return [
        product(size, size, size),
        product(size, 64, size),
        product(1000 if not small else 33, 1000 if not small else 37, 1000 if not small else 41),
        layer(size, size, size),
        layer(256, size, size),
        convolution(batch, 64, edge, 64, 3),
        convolution(batch, 64, edge, 64, 3, grads=True),
        convolution(batch, 256 if not small else 16, edge // 4, 256 if not small else 16, 3),
        convolution(batch, 3, 4 * edge, 64, 7),
        pooled,
        mapped("copy", lambda a: a.clone(), lambda a: a.clone(), 2),
        mapped("add", lambda a: a + a, lambda a: a + a, 2),
        mapped("relu", F.relu, lambda a: torch.relu(a), 2),
        mapped("sum of rows", lambda a: a.sum(1), lambda a: a.sum(1), 1),
        mapped("sum of columns", lambda a: a.sum(0), lambda a: a.sum(0), 1),
        mapped("softmax", F.softmax, lambda a: torch.softmax(a, -1), 2),
        mapped("sort", lambda a: F.sort(a)[0], lambda a: torch.sort(a)[0], 2),
    ]


def once_each(setting: Setting, lines: Report) -> None:
    """Every op once at "highest", products also at "high"."""
    for row in rows(setting.small):
        own = [setting.put(a) for a in row.arrays]
        for t in own:
            t.requires_grad = row.name.endswith("training")
        for precision in ["highest", "high"] if row.product else ["highest"]:
            with chosen(Way(precision, precision), setting.on_gpu):
                row.ours(*own)
                setting.drain()
        lines.add(row.name)


def kernels(setting: Setting, lines: Report) -> None:
    """The table of ops; raises where a way to compute gives something else than float32."""
    if setting.on_gpu:
        start_probes(OURS)
    ways = [w for w in OURS if usable(w.path)] if setting.on_gpu else OURS[:3]
    peers = [Way("torch float32"), Way("torch TF32", tf32=True), Way("torch bfloat16"),
             Way("torch float32, channels_last")] if setting.peer else []  # fmt: skip
    names = [f"ours {w.label}" for w in ways] + [w.label for w in peers]
    lines.add("| op | " + " | ".join(names) + " | ours, G/s | of copy |")
    lines.add("| --- " * (len(names) + 3) + "|")
    wrong = [f"the path {w.path} cannot be used" for w in OURS if setting.on_gpu and w not in ways]
    copied = None
    table = rows(setting.small)
    table.sort(key=lambda r: not r.name.startswith("copy"))  # first: the bandwidth of the others
    for row in table:
        grads = row.name.endswith("training")
        columns: list[tuple[Way, Call]] = []
        places: list[int] = []
        reference: np.ndarray | None = None
        for place, way in enumerate(ways):
            if place > 0 and (not row.product or (grads and way.dtype)):
                continue
            if way.of_images not in (None, row.image):
                continue
            own = [setting.put(a).to(way.dtype or rv.float32) for a in row.arrays]
            for t in own:
                t.requires_grad = grads
            call: Call = functools.partial(row.ours, *own)
            try:
                with chosen(way, setting.on_gpu):
                    if reference is None:
                        reference = call().detach().cpu().numpy()
                    elif not agree(lambda call=call: call().detach(), reference):
                        wrong.append(f"{row.name}, ours {way.label}")
            except Exception as error:  # the row goes on without this column
                wrong.append(f"{row.name}, ours {way.label}: {type(error).__name__}: {error}")
                continue
            columns.append((way, call))
            places.append(place)
        for place, way in enumerate(peers, len(ways)):
            last = way.label.endswith("channels_last")
            if last and not row.image:
                continue
            dtype = torch.bfloat16 if way.label.endswith("bfloat16") else torch.float32
            made = [torch.tensor(a, device=setting.torch_device, dtype=dtype) for a in row.arrays]
            if last:
                made = [m.to(memory_format=torch.channels_last) for m in made]
            for m in made:
                m.requires_grad_(grads)
            columns.append((way, functools.partial(row.theirs, *made)))
            places.append(place)
        found = medians(columns, setting)
        cells = ["-"] * len(names)
        for place, seconds in zip(places, found, strict=True):
            cells[place] = shown(seconds)
        rate = row.work / found[0] / 1e9 if found and found[0] else 0.0
        if row.name.startswith("copy"):
            copied = rate
        share = f"{rate / copied:.0%}" if copied and not row.product else "-"
        lines.add(f"| {row.name} | {' | '.join(cells)} | {rate:.1f} | {share} |")
    lines.add("", *(f"WRONG: {w}" for w in wrong))


# ---- Whole steps --------------------------------------------------------------------------------


class CharLstm(nn.Module):
    """Embedding, LSTM, linear: over the next character."""

    def __init__(self, letters: int, units: int) -> None:
        self.embedding = nn.Embedding(letters, units)
        self.lstm = nn.LSTM(units, units, batch_first=True)
        self.out = nn.Linear(units, letters)

    def forward(self, x: rv.Tensor) -> rv.Tensor:
        return self.out(self.lstm(self.embedding(x))[0])


def lenet() -> nn.Module:
    return rv.models.get("lenet", activation="relu")


def our_step(
    make: Callable[[], nn.Module], setting: Setting, captured: bool, mixed: bool = False
) -> Any:
    """A training step on tensors of the device, in mixed precision or not."""
    rv.manual_seed(0)
    model = make().to(setting.device)
    optimizer = optim.Adam(model.parameters(), lr=1e-3)

    def step(x: rv.Tensor, y: rv.Tensor) -> rv.Tensor:
        optimizer.zero_grad()
        with rv.autocast() if mixed else contextlib.nullcontext():
            out = model(x)
            loss = F.cross_entropy(out.reshape(-1, out.shape[-1]), y.reshape(-1))
        loss.backward()
        optimizer.step()
        return loss

    return rv.capture(step) if captured else step


def their_step(
    make: Callable[[], Any], setting: Setting, x: Any, y: Any, mode: str, mixed: bool
) -> Call:
    """PyTorch's: "eager", "channels_last", "graph" (the step as a CUDA graph) or "compile"."""
    model = make().to(setting.torch_device)
    if mode == "channels_last" and x.ndim == 4:
        model, x = (m.to(memory_format=torch.channels_last) for m in (model, x))
    capturable = mode == "graph"
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True, capturable=capturable)
    forward = torch.compile(model) if mode == "compile" else model

    def step() -> Any:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(setting.torch_device.split(":")[0], torch.bfloat16, enabled=mixed):
            out = forward(x)
            loss = torch.nn.functional.cross_entropy(out.reshape(-1, out.shape[-1]), y.reshape(-1))
        loss.backward()
        optimizer.step()
        return loss

    if mode != "graph":
        return step
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def torch_lenet() -> Any:
    t = torch.nn
    return t.Sequential(
        t.Conv2d(1, 6, 5), t.ReLU(), t.MaxPool2d(2), t.Conv2d(6, 16, 5), t.ReLU(), t.MaxPool2d(2),
        t.Flatten(), t.Linear(400, 120), t.ReLU(), t.Linear(120, 84), t.ReLU(), t.Linear(84, 10),
    )  # fmt: skip


def torch_char_lstm(letters: int, units: int) -> Any:
    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = torch.nn.Embedding(letters, units)
            self.lstm = torch.nn.LSTM(units, units, batch_first=True)
            self.out = torch.nn.Linear(units, letters)

        def forward(self, x: Any) -> Any:
            return self.out(self.lstm(self.embedding(x))[0])

    return Net()


Network = tuple[str, Callable[[], Any], Callable[[], Any], np.ndarray, np.ndarray]


def networks(small: bool) -> list[Network]:
    """Name, our model, PyTorch's, a batch of inputs and one of targets."""
    rng = np.random.default_rng(0)
    batch, units, length, letters = (2, 8, 5, 11) if small else (64, 256, 64, 64)
    images = rng.standard_normal((batch, 1, 32, 32)).astype(np.float32)
    text = rng.integers(0, letters, (batch // 2, length + 1))
    return [
        (f"LeNet-5, batch {batch}", lenet, torch_lenet, images, rng.integers(0, 10, batch)),
        (
            f"char-LSTM, batch {batch // 2}, {length} steps of {units} units",
            lambda: CharLstm(letters, units), lambda: torch_char_lstm(letters, units),
            text[:, :-1].copy(), text[:, 1:].copy(),
        ),
    ]  # fmt: skip


def peer_call(
    make: Callable[[], Any], setting: Setting, x: Any, y: Any, mode: str, way: Way, mixed: bool
) -> Call:
    """PyTorch's step, or one that raises what making it raised."""
    there = [torch.tensor(a, device=setting.torch_device) for a in (x, y)]
    try:
        with chosen(way, setting.on_gpu):
            return their_step(make, setting, *there, mode, mixed)
    except Exception as error:  # a mode that this build of PyTorch lacks
        reason = f"{type(error).__name__}: {error}"

        def call() -> Any:
            raise RuntimeError(reason)

        return call


def steps(setting: Setting, lines: Report) -> None:
    """The table of whole training steps."""
    names = ["ours eager", "ours captured"]
    paths = ["hopper_gather", "hopper_lstm"] if setting.on_gpu else []
    start_probes([Way(p, path=p) for p in paths])
    paths = [p for p in paths if usable(p)]
    names += [f"captured, {p}, unproven" for p in paths]
    modes = ["eager", "channels_last", "graph"] if setting.on_gpu else ["eager"]
    modes = modes if setting.peer else []
    lines.add("| step | " + " | ".join(names + [f"torch {m}" for m in modes]) + " | precision |")
    lines.add("| --- " * (len(names) + len(modes) + 2) + "|")
    profiles: list[str] = []
    levels = [("highest", False), ("high", True), ("mixed bfloat16", True)]
    for title, ours, theirs, x, y in networks(setting.small):
        batch = setting.put(x), setting.put(y)
        for name, tf32 in levels:
            mixed = name.startswith("mixed")
            way = Way(name, "high" if mixed else name, tf32=tf32)
            eager = our_step(ours, setting, captured=False, mixed=mixed)
            captured = our_step(ours, setting, captured=True, mixed=mixed)
            columns: list[tuple[Way, Call]] = [
                (way, lambda eager=eager, batch=batch: eager(*batch)),
                (way, lambda captured=captured, batch=batch: captured(*batch)),
            ]
            for path in paths:  # a recording is of one path
                other = our_step(ours, setting, captured=True, mixed=mixed)
                columns.append((Way(name, way.precision, path, tf32=tf32),
                                lambda other=other, batch=batch: other(*batch)))  # fmt: skip
            columns += [(way, peer_call(theirs, setting, x, y, m, way, mixed)) for m in modes]
            found = medians(columns, setting)
            lines.add(f"| {title} | {' | '.join(map(shown, found))} | {name} |")
            if name != "highest" or found[1] is None:
                continue
            with chosen(way, setting.on_gpu):
                captured(*batch)
                program = captured.program
                shares = f"{program.arena_bytes} of {program.planned_bytes} bytes"
                profiles += ["", f"{title}: {program.graphs} graphs; {shares}; {program.rewrites}"]
                profiles += ["", "```", captured.profile(3), "```"]
    lines.add(*profiles)
    if not modes:
        return
    # Last: the compiler may take more time than all the others together.
    lines.add("", "| step | torch compile | precision |", "| --- | --- | --- |")
    for title, _, theirs, x, y in networks(setting.small):
        for name, tf32 in levels:
            way = Way(name, tf32=tf32)
            call = peer_call(theirs, setting, x, y, "compile", way, name.startswith("mixed"))
            lines.add(f"| {title} | {shown(medians([(way, call)], setting)[0])} | {name} |")


# ---- Curves -------------------------------------------------------------------------------------


def curves(setting: Setting, lines: Report) -> None:
    """Losses on the cpu and on the device; says WRONG where they part, or two runs differ."""
    count = 4 if setting.small else 40
    wrong = []
    for title, make, _, x, y in networks(setting.small):

        def losses(device: str, make: Any = make, x: Any = x, y: Any = y) -> list[float]:
            step = our_step(make, Setting(device, 1, True), captured=True)
            batch = rv.tensor(x, device=device), rv.tensor(y, device=device)
            return [step(*batch).item() for _ in range(count)]

        host, first, second = losses("cpu"), losses(setting.device), losses(setting.device)
        far = max(abs(a - b) / max(abs(a), 1e-3) for a, b in zip(host, first, strict=True))
        same = first == second
        lines.add(f"{title}: {count} steps, largest relative difference of losses {far:.2e}; two "
                  f"runs {'have the same bits' if same else 'DIFFER'}", "",
                  "| step | cpu | " + setting.device + " |", "| --- | --- | --- |")  # fmt: skip
        shown_steps = sorted({0, 1, 2, count // 2, count - 1})
        lines.add(*(f"| {i + 1} | {host[i]:.6f} | {first[i]:.6f} |" for i in shown_steps), "")
        if not same:
            wrong.append(f"{title}: two runs differ")
        if not far < 1e-2:
            wrong.append(f"{title}: losses part by {far:.2e}")
    lines.add(*(f"WRONG: {w}" for w in wrong))


PARTS: dict[str, Callable[[Setting, Report], None]] = {
    "curves": curves,
    "kernels": kernels,
    "steps": steps,
    "once": once_each,
}


DEFAULT = ["curves", "kernels", "steps"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--part", choices=PARTS, action="append")
    parser.add_argument("--small", action="store_true", help="tiny shapes: does it run?")
    parser.add_argument("--probe", metavar="PATH", help="only try an unproven path")
    options = parser.parse_args()
    if options.probe:
        probe(options.probe)
        return 0
    setting = Setting(options.device, options.rounds, options.small)
    if setting.on_gpu and not rv.cuda.is_available():
        for name in options.part or DEFAULT:
            path = options.out / f"{name}.md" if options.out else None
            Report(path).add(f"Not measured: {rv.cuda.why_not()}")
        return 3
    where = rv.cuda.device_name(options.device) if setting.on_gpu else "cpu"
    versions = f"ranvier {rv.__version__}"
    versions += f", PyTorch {torch.__version__}" if setting.peer else ", no PyTorch to compare with"
    failed = False
    for name in options.part or DEFAULT:
        head = [f"{where}; {versions}; medians of {options.rounds} rounds, milliseconds", ""]
        lines = Report(options.out / f"{name}.md" if options.out else None)
        lines.add(*head)
        try:
            PARTS[name](setting, lines)
        except Exception as error:  # the other parts go on
            lines.add(f"WRONG: {type(error).__name__}: {error}")
        failed = failed or any(line.startswith("WRONG") for line in lines)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

"""Rewrite rules of captured steps: each applies where it should and keeps the bits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ranvier as rv
import ranvier.functional as F

LARGE = (4, 16, 32, 32)  # 256 KB: more than stays in the cache by itself


def images(seed, shape=LARGE):
    return rv.tensor(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def bits(value):
    return [t.numpy().tobytes() for t in (value if isinstance(value, (list, tuple)) else [value])]


def rewritten(make, *inputs):
    """Runs a step five times captured and eager, compares all bits, and returns the program.

    `make()` returns a function with state of its own.
    """
    captured, eager = rv.capture(make()), make()
    for _ in range(5):
        assert bits(captured(*inputs)) == bits(eager(*inputs))
    return captured.program


class TestDroppedCopies:
    def test_gradients_are_written_where_they_stay(self):
        def make():
            rv.manual_seed(0)
            net = rv.nn.Sequential(rv.nn.Linear(6, 5), rv.nn.Tanh(), rv.nn.Linear(5, 2))
            optimizer = rv.optim.SGD(net.parameters(), lr=0.1)

            def step(x):
                optimizer.zero_grad()
                loss = net(x).mean()
                loss.backward()
                optimizer.step()
                return [loss, *(p.grad for p in net.parameters())]

            return step

        program = rewritten(make, images(0, (3, 6)))
        assert program.rewrites["drop_copies"] >= 4
        assert "copy  in float32(5, 6)" not in str(program)

    def test_a_copy_is_kept_where_both_are_needed(self):
        def make():
            state = rv.zeros(4, 4)

            def step(x):
                with rv.no_grad():
                    y = x * 2.0
                    z = y.clone()  # then y changes
                    y += 1.0
                    state.copy_(z)
                    state.copy_(state * 3.0)
                return y, z, state * 1.0

            return step

        rewritten(make, images(1, (4, 4)))

    def test_what_was_there_before_is_not_moved(self):
        def make():
            weight = rv.ones(4, 4)

            def step(x):
                with rv.no_grad():
                    old = weight.clone()
                    weight.copy_(x + old)
                return old, weight * 1.0

            return step

        rewritten(make, images(2, (4, 4)))


class TestNormRelu:
    @pytest.mark.parametrize("norm", ["batch", "instance", "group"])
    @pytest.mark.parametrize("residual", ["", "first", "second"])
    @pytest.mark.parametrize("planes", [False, True])
    def test_takes_in_the_sum_and_the_relu(self, norm, residual, planes):
        def make():
            rv.manual_seed(1)
            layer = {
                "batch": rv.nn.BatchNorm2d(16),
                "instance": rv.nn.InstanceNorm2d(16, affine=True),
                "group": rv.nn.GroupNorm(4, 16),
            }[norm]
            for p in layer.parameters():
                rv.nn.init.normal_(p, 0.5, 1.0)

            def step(x, r):
                y = layer(x)
                if residual:
                    y = y + r if residual == "first" else r + y
                y = F.relu(y)
                (y * y).mean().backward()
                gradients = [p.grad for p in layer.parameters()]
                for p in layer.parameters():
                    p.grad = None
                return [y, *gradients]

            return step

        x, r = images(3), images(4)
        if not planes:
            x, r = x.channels_last(), r.channels_last()
        program = rewritten(make, x, r)
        assert program.rewrites["norm_relu"] == (2 if residual else 1)
        assert "unary  " not in str(program)

    def test_stands_back_where_the_value_between_is_needed(self):
        def make():
            layer = rv.nn.BatchNorm2d(16)

            def step(x):
                y = layer(x)
                return F.relu(y), y * 2.0

            return step

        assert rewritten(make, images(5)).rewrites["norm_relu"] == 0

    def test_special_values(self):
        def make():
            layer = rv.nn.BatchNorm2d(2).eval()
            return lambda x, r: F.relu(layer(x) + r)

        x = np.zeros((1, 2, 2, 3), np.float32)
        x.flat[:5] = [np.nan, np.inf, -np.inf, -0.0, -1.0]
        r = np.zeros_like(x)
        r.flat[5:8] = [np.nan, np.inf, -np.inf]
        rewritten(make, rv.tensor(x), rv.tensor(r))


class TestProductRelu:
    @pytest.mark.parametrize(
        "layer",
        [
            lambda: rv.nn.Conv2d(16, 24, 3, padding=1),  # Winograd
            lambda: rv.nn.Conv2d(16, 24, 3, padding=1, bias=False),
            lambda: rv.nn.Conv2d(16, 24, (5, 2), stride=2, padding=3),  # channels in the lanes
            lambda: rv.nn.Conv2d(16, 40, 1),
            lambda: rv.nn.Conv2d(16, 3, 3, stride=2),  # pixels in the lanes
            lambda: rv.nn.Conv2d(16, 3, 3),  # all taps in the lanes
            lambda: rv.nn.Conv2d(16, 1, 1),  # a patch is one run
            lambda: rv.nn.Conv2d(16, 12, 5),  # one vector of outputs
            lambda: rv.nn.Conv2d(16, 16, 3, groups=16),  # depthwise
            lambda: rv.nn.Conv2d(16, 16, 3, stride=2, groups=16),
            lambda: rv.nn.Conv2d(16, 8, 3, groups=4),
            lambda: rv.nn.Conv2d(16, 16, 3, padding=1, groups=4),  # groups share a vector
            lambda: rv.nn.Conv2d(16, 16, 3, stride=2, groups=2),
            lambda: rv.nn.Conv2d(16, 600, 32, padding=15),  # several cuts of the reduction
            lambda: rv.nn.Linear(32, 10),
            lambda: rv.nn.Linear(32, 10, bias=False),
            lambda: rv.nn.Linear(32, 1),
        ],
    )
    def test_takes_in_the_relu(self, layer):
        def make():
            rv.manual_seed(2)
            net = layer()

            def step(x):
                y = F.relu(net(x))
                y.sum().backward()
                gradients = [p.grad for p in net.parameters()]
                for p in net.parameters():
                    p.grad = None
                return [y, *gradients]

            return step

        x = images(18, (2, 16, 9, 32) if "600" not in str(layer()) else (1, 16, 4, 4))
        program = rewritten(make, x)
        assert program.rewrites["product_relu"] == 1
        assert "unary  " not in str(program)

    def test_a_single_row(self):
        net = rv.nn.Linear(700, 900)
        program = rewritten(lambda: lambda x: F.relu(net(x)), images(19, (1, 700)))
        assert program.rewrites["product_relu"] == 1

    def test_stands_back_where_the_sum_is_needed(self):
        net = rv.nn.Linear(8, 8)

        def make():
            def step(x):
                y = net(x)
                return F.relu(y), F.tanh(y)

            return step

        assert rewritten(make, images(20, (5, 8))).rewrites["product_relu"] == 0


class TestChains:
    def test_pointwise_calls_run_together(self):
        def make():
            def step(x, y):
                z = F.tanh(x * y + 1.0)
                return F.where(z > 0.0, z * z, F.clip(y, -1.0, 1.0))

            return step

        program = rewritten(make, images(6), images(7))
        assert program.rewrites["chains"] >= 1
        assert "tiles" in str(program)

    @pytest.mark.parametrize(
        "shape", [(70_001,), (1, 300_000), (40_000, 3), (2, 3, 129, 257), (3, 1, 50_021)]
    )
    def test_any_shape_and_broadcasting(self, shape):
        row = images(8, shape[-1:])

        def make():
            return lambda x, y: F.exp(F.sigmoid(x + row) * y - y) / 2.0 + x

        program = rewritten(make, images(9, shape), images(10, shape))
        assert program.rewrites["chains"] == 1

    def test_layouts_that_differ(self):
        def make():
            def step(x):
                y = x * 2.0
                return (y.transpose(0, 1) + y) * F.tanh(y)  # needs all of y, not a tile of it

            return step

        rewritten(make, images(11, (300, 300)))

    def test_small_arrays_are_left_alone(self):
        program = rewritten(lambda: lambda x: F.exp(x * 2.0) + 1.0, images(12, (8, 8)))
        assert program.rewrites["chains"] == 0


class TestMemory:
    def test_results_move_in_with_operands_that_die(self):
        def make():
            def step(x):
                for _ in range(6):
                    x = F.tanh(x) * 2.0
                return x.sum()

            return step

        program = rewritten(make, images(13))
        one = 4 * int(np.prod(LARGE))
        assert program.planned_bytes >= 12 * one
        assert program.arena_bytes <= 2 * one

    def test_an_operand_that_lives_on_keeps_its_place(self):
        def make():
            def step(x):
                a = x * 2.0
                b = a + 1.0
                c = a * b  # both alive
                return (c - a).sum() + b.sum(), a.transpose(0, 1).sum()

            return step

        rewritten(make, images(14))


INSTRUCTIONS = {
    "add": lambda a, b: a + b,
    "multiply": lambda a, b: a * b,
    "relu": lambda a, b: F.relu(a),
    "tanh": lambda a, b: F.tanh(a) * b,
    "where": lambda a, b: F.where(a > b, a, b),
    "transpose": lambda a, b: a.transpose(0, 1),
    "rows": lambda a, b: F.concat([b[64:], a[:64]], dim=0),
    "column": lambda a, b: a + b[:, 3:4],
    "norm": lambda a, b: F.relu(F.layer_norm(a, (192,)) + b),
    "matmul": lambda a, b: a @ b * 0.05,
}


@settings(max_examples=15)
@given(
    st.lists(
        st.tuples(st.sampled_from([*INSTRUCTIONS, "keep"]), st.integers(0, 20), st.integers(0, 20)),
        min_size=2,
        max_size=10,
    ),
    st.lists(st.integers(0, 20), min_size=1, max_size=2),
)
def test_any_large_program_gives_eagers_bits(program, returned):
    first, weights = images(15, (192, 192)), images(16, (192, 192))

    def make():
        weight = rv.tensor(weights.numpy(), requires_grad=True)
        state = rv.zeros(192, 192)

        def step(x):
            nonlocal state
            values = [x, weight]
            for name, i, j in program:
                a, b = values[i % len(values)], values[j % len(values)]
                if name == "keep":
                    with rv.no_grad():
                        state += a.detach()
                        state *= 0.5
                    values.append(state * 1.0)
                else:
                    values.append(INSTRUCTIONS[name](a, b))
            (values[-1] * weight).sum().backward()
            gradient, weight.grad = weight.grad, None
            return [*(values[i % len(values)] for i in returned), gradient, state * 1.0]

        return step

    rewritten(make, first)


def test_flops_are_told():
    net = rv.nn.Sequential(rv.nn.Conv2d(3, 8, 3), rv.nn.Flatten(), rv.nn.Linear(8 * 36, 5))
    step = rv.capture(lambda x: net(x).sum())
    for _ in range(3):
        step(images(17, (2, 3, 8, 8)))
    assert step.program.flops == 2 * 2 * (8 * 36 * 27 + 8 * 36 * 5)
    assert "flops" in str(step.program)


@pytest.mark.replays
def test_recording_holds_no_more_than_an_eager_step():
    from ranvier import _core

    def step(x):
        for _ in range(20):
            x = F.tanh(x @ x) * 0.5
        return x.sum()

    x = images(21, (256, 256))
    captured = rv.capture(step)
    for call in range(4):
        before = _core.memory_stats()[0]
        _core.reset_peak_memory()
        captured(x)
        grown = _core.memory_stats()[2] - before
        assert grown <= 5 * x.data.nbytes, f"call {call}"  # 60 results, three alive at a time


@pytest.mark.replays
def test_the_arena_is_made_of_what_the_eager_call_left():
    from ranvier import _core

    def step(x):
        for _ in range(8):
            x = F.tanh(x @ x) * 0.5
        return x.sum()

    x = images(24, (512, 512))
    captured = rv.capture(step)
    _core.empty_cache()
    captured(x)
    in_use, idle, _ = _core.memory_stats()
    for _ in range(2):
        captured(x)
        assert _core.memory_stats()[0] <= in_use + idle + 2 * x.data.nbytes  # the copy of x
    assert 2 * x.data.nbytes <= captured.program.arena_bytes <= idle


@pytest.mark.replays
def test_a_small_arena_takes_no_large_block():
    from ranvier import _core

    large = rv.empty(1 << 22)
    del large
    step = rv.capture(lambda x: (x * 2.0).exp().sum())
    before = _core.memory_stats()[0]
    for _ in range(3):
        step(images(25, (256, 256)))
    assert _core.memory_stats()[0] - before < 1 << 22


@pytest.mark.replays
def test_a_recording_runs_once_and_at_its_end():
    total = rv.zeros(3)
    seen = []

    @rv.capture
    def step(x):
        nonlocal total
        total += x
        made = rv.empty(2, 2)  # no kernel ever writes it
        if rv.is_capturing():
            seen.append((made, total.detach() * 1.0))
        return total * 2.0

    for i in range(1, 4):
        assert step(rv.ones(3)).tolist() == [2.0 * i] * 3
    made, sums = seen[0]
    assert (made + 1.0).shape == (2, 2), "memory comes at the first use"
    assert made.numpy().shape == (2, 2)
    assert sums.tolist() == [3.0] * 3, "it is a result of the recording, which was replayed"


def test_an_index_that_is_too_large_ends_the_recording():
    table = rv.tensor([[1.0], [2.0]], requires_grad=True)

    @rv.capture
    def step(i):
        (F.embedding(i, table) * 3.0).sum().backward()

    step(rv.tensor([0]))
    before = table.grad
    with pytest.raises(IndexError, match=r"\[embedding\] expected indices from 0 to 1.* got 2"):
        step(rv.tensor([2]))
    assert table.grad is before
    assert not rv.is_capturing()
    step(rv.tensor([1]))
    assert table.grad.tolist() == [[3.0], [3.0]]


def test_what_outlives_a_failed_recording_is_that_of_the_step():
    state, kept = rv.ones(3), []

    @rv.capture
    def step(x):
        nonlocal state
        state += x
        kept.append(state * 2.0)
        state *= 5.0
        if len(kept) == 2:
            raise KeyError("mine")

    step(rv.ones(3))
    with pytest.raises(KeyError, match="mine"):
        step(rv.ones(3))
    assert kept[1].tolist() == [22.0] * 3
    assert state.tolist() == [10.0] * 3


def test_results_outlive_the_recording():
    step = rv.capture(lambda x: (x * 2.0, (x * 3.0).sum()))
    x = images(22)
    results = [step(x) for _ in range(2)]  # eager, recorded
    expected = [t.numpy().tobytes() for t in results[0]]
    step.invalidate()
    del step
    fillers = [images(k) for k in range(4)]  # would take blocks that were given back
    assert [t.numpy().tobytes() for t in results[1]] == expected
    assert len(fillers) == 4


def test_a_failed_recording_leaves_its_results():
    kept = []

    @rv.capture
    def step(x):
        kept.append(x * 2.0)
        return kept[-1].sum().item() if len(kept) > 1 else kept[-1]

    x = images(23)
    step(x)
    with pytest.raises(rv.CaptureError):
        step(x)
    fillers = [images(k) for k in range(4)]
    assert kept[1].numpy().tobytes() == (x * 2.0).numpy().tobytes()
    assert len(fillers) == 4


def test_steps_of_two_sizes_take_turns():
    """Each drops the gradients that the other left, whose buffers both recordings write."""

    def losses(capture):
        rv.manual_seed(4)
        net = rv.nn.Sequential(rv.nn.Linear(40, 30), rv.nn.ReLU(), rv.nn.Linear(30, 3))
        optimizer = rv.optim.Adam(net.parameters(), lr=0.01)

        def step(x):
            optimizer.zero_grad()
            loss = (net(x) * net(x)).mean()
            loss.backward()
            optimizer.step()
            return loss

        run = rv.capture(step) if capture else step
        sizes = [64, 64, 64, 7, 64, 7, 7, 64, 7, 64]
        return [run(images(24 + i, (n, 40))).numpy().tobytes() for i, n in enumerate(sizes)]

    assert losses(True) == losses(False)


class TestOuterGradients:
    @staticmethod
    def train(optimizer, keep=False, batch=1):
        def make():
            rv.manual_seed(0)
            net = rv.nn.Sequential(rv.nn.Linear(70, 130), rv.nn.ReLU(), rv.nn.Linear(130, 3))
            rule = optimizer(list(net.parameters()))

            def step(x):
                loss = F.cross_entropy(net(x), rv.zeros(batch, dtype=rv.int64))
                loss.backward()
                rule.step()
                grads = [p.grad for p in net.parameters()] if keep else []
                rule.zero_grad()
                return [loss, *(p * 1.0 for p in net.parameters()), *grads]

            return step

        return rewritten(make, images(3, (batch, 70)))

    @pytest.mark.parametrize(
        "optimizer",
        [
            lambda p: rv.optim.Adam(p, lr=0.01, weight_decay=0.1),
            lambda p: rv.optim.AdamW(p, lr=0.01, maximize=True),
            lambda p: rv.optim.SGD(p, lr=0.1),
            lambda p: rv.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
            lambda p: rv.optim.RMSprop(p, lr=0.01),
            lambda p: rv.optim.RMSprop(p, lr=0.01, momentum=0.9, centered=True),
            rv.optim.Adagrad,
            rv.optim.Adadelta,
        ],
        ids=["adam", "adamw", "sgd", "nesterov", "rmsprop", "centered", "adagrad", "adadelta"],
    )
    def test_one_sample(self, optimizer):
        program = self.train(optimizer)
        assert program.rewrites["outer_gradients"] == 2
        assert "float32(130, 70)" not in "".join(
            line for line in str(program).splitlines() if "linear_grad_weight" in line
        )

    def test_not_where_gradients_are_read(self):
        assert self.train(rv.optim.Adam, keep=True).rewrites["outer_gradients"] == 0

    def test_not_for_a_batch(self):
        assert self.train(rv.optim.Adam, batch=2).rewrites["outer_gradients"] == 0

    @pytest.mark.parametrize("optimizer", [rv.optim.Adam, rv.optim.SGD])
    def test_not_where_the_step_moves_a_factor(self, optimizer):
        """A learned input is a parameter too: the layer's gradient has its old values."""

        def make():
            rv.manual_seed(0)
            start = rv.nn.Parameter(rv.randn(1, 70))
            net = rv.nn.Linear(70, 130)
            rule = optimizer([start, *net.parameters()], lr=0.1)

            def step():
                loss = F.mse_loss(net(start), rv.ones(1, 130))
                loss.backward()
                rule.step()
                rule.zero_grad()
                return [loss, start * 1.0, *(p * 1.0 for p in net.parameters())]

            return step

        assert rewritten(make).rewrites["outer_gradients"] == 0


class TestEmbeddingLstm:
    """T14 N5 V9 I6 H20: the rows of a table are multiplied instead of 70 places."""

    NAMES = ("table", "weight_ih", "weight_hh", "bias_ih")

    @pytest.fixture(autouse=True)
    def without_checks(self, monkeypatch):
        monkeypatch.delenv("RANVIER_CHECK_CAPTURE", raising=False)  # it would forbid the rule

    @staticmethod
    def parts(vocabulary=9, frozen=(), dtype=np.float32):
        rng = np.random.default_rng(25)
        shapes = [(vocabulary, 6), (80, 6), (80, 20), (80,)]
        values = [rv.tensor(rng.standard_normal(s).astype(dtype) * 0.4) for s in shapes]
        for name, value in zip(TestEmbeddingLstm.NAMES, values, strict=True):
            value.requires_grad_(name not in frozen)
        return values

    @staticmethod
    def tokens(seed, vocabulary=9, dtype=np.int64):
        return rv.tensor(np.random.default_rng(seed).integers(0, vocabulary, (14, 5)).astype(dtype))

    @staticmethod
    def step(parts, **options):
        table, *weights = parts

        def run(tokens):
            y, _ = F.lstm(F.embedding(tokens, table), None, *weights, **options)
            if any(p.requires_grad for p in parts):
                (y * y).sum().backward()
            gradients = [p.grad for p in parts]
            for p in parts:
                p.grad = None
            return [y, *(g for g in gradients if g is not None)]

        return run

    def run_both(self, parts, **options):
        captured, eager = rv.capture(self.step(parts, **options)), self.step(parts, **options)
        for seed in range(4):
            pairs = list(zip(captured(self.tokens(seed)), eager(self.tokens(seed)), strict=True))
        return captured.program, pairs

    def test_inference_has_the_same_bits(self):
        parts = self.parts(frozen=self.NAMES)
        program, pairs = self.run_both(parts)
        assert program.rewrites["embedding_lstm"] == 1
        assert "embedding  " not in str(program)
        assert bits([a for a, _ in pairs]) == bits([b for _, b in pairs])

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    @pytest.mark.parametrize("frozen", [(), ("table",), ("weight_ih",), ("bias_ih",)])
    @pytest.mark.parametrize("case", ["plain", "reverse with lengths", "peephole", "original"])
    def test_gradients_are_within_the_bound(self, dtype, frozen, case):
        options = {}
        parts = self.parts(frozen=frozen, dtype=dtype)
        if case == "reverse with lengths":
            options = {"reverse": True, "lengths": rv.tensor([14, 0, 3, 9, 1])}
        elif case == "peephole":
            options = {"peephole": rv.ones(3, 20, dtype=parts[0].dtype) * 0.3}
        elif case == "original":
            parts = [p if i == 0 else rv.tensor(p.numpy()[:60]) for i, p in enumerate(parts)]
            for p, name in zip(parts, self.NAMES, strict=True):
                p.requires_grad_(name not in frozen)
            options = {"variant": "original"}
        program, pairs = self.run_both(parts, **options)
        assert program.rewrites["embedding_lstm"] == 1
        assert "embedding_backward" not in str(program)

        # The gradient of the gates' arguments: that of inputs that enter through a unit matrix.
        table, weight_ih, weight_hh, bias = (p.detach() for p in parts)
        tokens = self.tokens(3)
        inputs = (table[tokens] @ weight_ih.T + bias).requires_grad_(True)
        rows = weight_ih.shape[0]
        y, _ = F.lstm(inputs, None, rv.tensor(np.eye(rows, dtype=dtype)), weight_hh, **options)
        (y * y).sum().backward()
        d = np.abs(inputs.grad.numpy().astype(np.float64)).reshape(-1, rows)
        index = tokens.numpy().ravel()
        of_table = np.zeros((9, 6))
        np.add.at(of_table, index, d @ np.abs(weight_ih.numpy()))
        magnitudes = {
            "table": of_table,
            "weight_ih": d.T @ np.abs(table.numpy()[index]),
            "bias_ih": d.sum(0),
        }
        terms = 2 * (d.shape[0] + rows)
        names = [n for n in self.NAMES if n not in frozen]
        assert bits(pairs[0][0]) == bits(pairs[0][1])
        for name, (a, b) in zip(names, pairs[1:], strict=True):
            if name == "weight_hh":
                assert bits(a) == bits(b)
            else:
                error = np.abs(a.numpy().astype(np.float64) - b.numpy())
                assert (error <= terms * np.finfo(dtype).eps * magnitudes[name]).all(), name

    def test_exact_keeps_the_bits(self):
        before = rv.get_matmul_precision()
        rv.set_matmul_precision("exact")
        try:
            program, pairs = self.run_both(self.parts())
        finally:
            rv.set_matmul_precision(before)
        assert program.rewrites["embedding_lstm"] == 0
        assert bits([a for a, _ in pairs]) == bits([b for _, b in pairs])

    def test_a_checked_step_keeps_the_bits(self, monkeypatch):
        monkeypatch.setenv("RANVIER_CHECK_CAPTURE", "1")
        program, _ = self.run_both(self.parts())  # raises where they differ
        assert program.rewrites["embedding_lstm"] == 0

    def test_tokens_are_checked_in_every_replay(self):
        step = rv.capture(self.step(self.parts()))
        for seed in range(3):
            step(self.tokens(seed))
        wrong = self.tokens(0).numpy()
        wrong[13, 4] = 9
        with pytest.raises(IndexError, match="expected indices from 0 to 8"):
            step(rv.tensor(wrong))

    def test_stands_back(self):
        def both(tokens):  # somebody else needs the vectors
            vectors = F.embedding(tokens, parts[0])
            return [F.lstm(vectors, None, *parts[1:])[0], F.relu(vectors)]

        parts = self.parts(frozen=self.NAMES)
        assert rewritten(lambda: both, self.tokens(0)).rewrites["embedding_lstm"] == 0
        narrow = self.tokens(0, dtype=np.int32)
        program = rewritten(lambda: self.step(parts), narrow)
        assert program.rewrites["embedding_lstm"] == 0
        parts = self.parts(vocabulary=36, frozen=self.NAMES)  # hardly a token comes twice
        program = rewritten(lambda: self.step(parts), self.tokens(0))
        assert program.rewrites["embedding_lstm"] == 0

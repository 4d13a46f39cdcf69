"""Captured steps: a replay gives the bits of the eager step, or the error says why it cannot."""

import functools
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ranvier as rv
import ranvier.functional as F


def tensor(*values):
    return rv.tensor(list(values))


def counted(function):
    """The function and a list that grows by one entry at each call."""
    calls = []

    def wrapper(*args, **kwargs):
        calls.append(1)
        return function(*args, **kwargs)

    return wrapper, calls


class TestCalls:
    @pytest.mark.replays
    def test_python_runs_twice_then_never_again(self):
        function, calls = counted(lambda x: x * 2.0 + 1.0)
        step = rv.capture(function)
        results = [step(tensor(float(i), 2.0)).tolist() for i in range(6)]
        assert results == [[2.0 * i + 1.0, 5.0] for i in range(6)]
        assert len(calls) == 2

    def test_replays_give_eagers_bits(self):
        rng = np.random.default_rng(0)

        def compute(x, y):
            z = x * y + x / (y * y + 1.0)
            return z * z, z - x

        step = rv.capture(compute)
        for _ in range(5):
            x, y = (rv.tensor(rng.standard_normal((5, 7)).astype(np.float32)) for _ in range(2))
            for captured, eager in zip(step(x, y), compute(x, y), strict=True):
                assert captured.numpy().tobytes() == eager.numpy().tobytes()

    def test_results_keep_their_structure(self):
        step = rv.capture(lambda x: {"twice": x * 2.0, "more": [x + 1.0, (x, 3, "text", None)]})
        for i in range(4):
            result = step(tensor(float(i)))
            assert result["twice"].item() == 2.0 * i
            assert result["more"][0].item() == i + 1.0
            assert result["more"][1][0].item() == i
            assert result["more"][1][1:] == (3, "text", None)

    def test_numpy_arguments_are_inputs(self):
        """They come as tensors, in the first call too."""
        step = rv.capture(lambda x, more: F.relu(x) * 2.0 + more["one"])
        for i in range(4):
            result = step(np.full(3, i, np.float32), {"one": np.ones(3, np.float32)})
            assert result.tolist() == [2.0 * i + 1.0] * 3

    def test_nested_arguments(self):
        step = rv.capture(lambda batch, scale: batch["x"] * batch["y"][0] * scale)
        for i in range(4):
            assert step({"x": tensor(2.0), "y": [tensor(float(i))]}, scale=3.0).item() == 6.0 * i

    def test_an_input_is_not_written(self):
        step = rv.capture(lambda x: x * 2.0)
        inputs = [tensor(float(i)) for i in range(5)]
        for x in inputs:
            step(x)
        assert [x.item() for x in inputs] == [0.0, 1.0, 2.0, 3.0, 4.0]

    def test_a_result_is_stable_until_the_next_call(self):
        step = rv.capture(lambda x: x * 2.0)
        for i in range(3):
            kept = step(tensor(float(i)))
        for _ in range(100):  # other work must not reuse its memory
            _ = rv.zeros(1) + 7.0
        assert kept.item() == 4.0
        again = step(tensor(9.0))
        assert again.item() == 18.0

    def test_every_result_of_one_call_has_memory_of_its_own(self):
        def compute(x):
            a = x + 1.0
            b = a * 2.0
            c = b + a
            return a, b, c, (c * 3.0)

        step = rv.capture(compute)
        for i in range(4):
            assert [t.item() for t in step(tensor(float(i)))] == [
                i + 1.0, 2.0 * (i + 1), 3.0 * (i + 1), 9.0 * (i + 1),
            ]  # fmt: skip

    def test_an_argument_that_comes_back(self):
        step = rv.capture(lambda x: x)
        assert [step(tensor(float(i))).item() for i in range(4)] == [0.0, 1.0, 2.0, 3.0]

    def test_transposed_inputs_keep_their_meaning(self):
        step = rv.capture(lambda x: x * 2.0)
        for i in range(4):
            a = np.arange(6, dtype=np.float32).reshape(2, 3) + i
            np.testing.assert_array_equal(step(rv.from_numpy(np.asfortranarray(a))).numpy(), a * 2)


class TestSignatures:
    @pytest.mark.replays
    def test_another_shape_is_captured_anew(self):
        function, calls = counted(lambda x: x * 2.0)
        step = rv.capture(function)
        for _ in range(3):
            assert step(rv.ones(2)).tolist() == [2.0, 2.0]
            assert step(rv.ones(3)).tolist() == [2.0, 2.0, 2.0]
        assert len(calls) == 4

    @pytest.mark.replays
    def test_another_dtype_or_constant_too(self):
        function, calls = counted(lambda x, factor: x * factor)
        step = rv.capture(function)
        for _ in range(3):
            assert step(tensor(1.0), 2.0).item() == 2.0
            assert step(tensor(1.0), 3.0).item() == 3.0
            assert step(rv.tensor([1.0], dtype="float64"), 2.0).dtype == rv.float64
        assert len(calls) == 6

    def test_one_and_true_are_different(self):
        step = rv.capture(lambda x, flag: x + 1.0 if flag is True else x - 1.0)
        for _ in range(3):
            assert step(tensor(0.0), True).item() == 1.0
            assert step(tensor(0.0), 1).item() == -1.0

    def test_whether_gradients_are_recorded(self):
        step = rv.capture(lambda x: x * 2.0)
        x = rv.ones(1, requires_grad=True)
        for _ in range(3):
            with rv.no_grad():
                assert not step(x).requires_grad

    def test_what_cannot_be_hashed_is_refused(self):
        with pytest.raises(rv.CaptureError, match=r"\[capture\] expected .*got set"):
            rv.capture(lambda x: x)({1, 2})

    @pytest.mark.replays
    def test_invalidate_records_again(self):
        scale = [[[[2.0]]]]  # deeper than anybody looks
        step = rv.capture(lambda x, depth=4: x * functools.reduce(lambda s, _: s[0], "1234", scale))
        for _ in range(3):
            step(tensor(1.0))
        scale[0][0][0][0] = 5.0
        assert step(tensor(1.0)).item() == 2.0, "a Python number is a constant of the recording"
        step.invalidate()
        assert step(tensor(1.0)).item() == 5.0


class TestParts:
    """What a module is made of is part of what was recorded."""

    def net(self):
        rv.manual_seed(0)
        return rv.nn.Sequential(rv.nn.Linear(3, 4), rv.nn.ReLU(), rv.nn.Linear(4, 2))

    def settled(self, net):
        """A captured step that is being replayed, and its input."""
        step = rv.capture(lambda x: net(x))
        x = rv.randn(5, 3)
        for _ in range(3):
            step(x)
        return step, x

    def test_a_replaced_parameter_is_noticed(self):
        net = self.net()
        step, x = self.settled(net)
        net[0].weight = rv.nn.Parameter(rv.ones(4, 3))
        for _ in range(4):
            assert step(x).tolist() == net(x).tolist()

    def test_a_replaced_layer_is_noticed(self):
        net = self.net()
        step, x = self.settled(net)
        net[2] = rv.nn.Linear(4, 7)
        for _ in range(4):
            assert step(x).tolist() == net(x).tolist()

    def test_an_added_layer_is_noticed(self):
        net = self.net()
        step, x = self.settled(net)
        net.append(rv.nn.Linear(2, 5))
        for _ in range(4):
            assert step(x).tolist() == net(x).tolist()

    def test_replaced_memory_is_noticed(self):
        net = self.net()
        step, x = self.settled(net)
        net[0].bias.data = rv.ones(4).data
        for _ in range(4):
            assert step(x).tolist() == net(x).tolist()

    def test_a_parameter_in_a_list_is_noticed(self):
        class Sums(rv.nn.Module):
            def __init__(self):
                self.terms = [rv.nn.Parameter(1.0), {"more": rv.nn.Parameter(2.0)}]

            def forward(self, x):
                return x + self.terms[0] + self.terms[1]["more"]

        net = Sums()
        step, x = self.settled(net)
        for value in (5.0, 7.0):
            net.terms[1]["more"] = rv.nn.Parameter(value)
            for _ in range(4):
                assert step(x).tolist() == net(x).tolist()
        net.terms = [rv.nn.Parameter(3.0), {"more": rv.nn.Parameter(4.0)}]
        assert step(x).tolist() == net(x).tolist()

    def test_freezing_is_noticed(self):
        net = self.net()
        weight = net[0].weight

        @rv.capture
        def step(x):
            net.zero_grad()
            net(x).sum().backward()

        x = rv.randn(5, 3)
        for _ in range(3):
            step(x)
        assert weight.grad is not None
        weight.requires_grad = False
        for _ in range(4):
            weight.grad = None
            step(x)
            assert weight.grad is None
            assert net[2].weight.grad is not None

    @pytest.mark.replays
    def test_what_stays_is_replayed(self):
        """A tensor that a layer keeps for itself does not start the recording again."""

        class Keeper(rv.nn.Linear):
            def forward(self, x):
                self.last = super().forward(x)
                calls.append(1)
                return self.last

        calls = []
        net = Keeper(3, 2)
        step, x = self.settled(net)
        for _ in range(5):
            step(x)
        assert len(calls) == 2

    @pytest.mark.parametrize("rule", ["SGD", "Adam"])
    def test_to_another_dtype_in_the_middle_of_training(self, rule):
        """Captured and eager training agree, before the move and after it."""

        def train(capture):
            rv.manual_seed(0)
            net = rv.models.LeNet(classes=3)
            options = {"momentum": 0.9} if rule == "SGD" else {}
            opt = getattr(rv.optim, rule)(net.parameters(), lr=0.01, **options)
            x, y = rv.randn(4, 1, 32, 32), rv.tensor([0, 1, 2, 0])

            def body(x):
                opt.zero_grad()
                loss = F.cross_entropy(net(x), y)
                loss.backward()
                opt.step()
                return loss

            step = rv.capture(body) if capture else body
            losses = [step(x).item() for _ in range(4)]
            net.to(rv.float64)
            losses += [step(x.to(rv.float64)).item() for _ in range(4)]
            assert all(p.dtype is rv.float64 for p in net.parameters())
            return losses

        losses = train(False)
        assert losses == train(True)
        assert losses[-1] < losses[0]


class TestState:
    def test_a_tensor_that_is_changed_goes_on_changing(self):
        total = rv.zeros(2)

        @rv.capture
        def step(x):
            nonlocal total
            total += x
            return total * 1.0

        for i in range(6):
            assert step(tensor(1.0, float(i))).tolist() == total.tolist()
        assert total.tolist() == [6.0, 15.0]

    def test_a_change_from_outside_is_seen(self):
        scale = tensor(2.0)
        step = rv.capture(lambda x: x * scale)
        for value in (2.0, 3.0, 4.0, 5.0, 6.0):
            scale.fill_(value)
            assert step(tensor(10.0)).item() == 10.0 * value

    def test_a_training_step(self):
        def train(steps, wrap):
            w = rv.tensor([1.0, -2.0], requires_grad=True)
            rate = rv.full((), 0.1)

            def step(x, y):
                error = x * w - y
                loss = error * error
                w.grad = None
                loss.backward(rv.ones(2))
                with rv.no_grad():
                    w.copy_(w - w.grad * rate)
                return loss

            step = wrap(step)
            for i in range(steps):
                rate.fill_(0.1 / (1 + i))
                step(tensor(1.0 + i % 3, 0.5), tensor(3.0, float(i)))
            return w.numpy().tobytes()

        assert train(8, rv.capture) == train(8, lambda f: f)

    def test_gradients_accumulate_through_replays(self):
        w = rv.ones(1, requires_grad=True)

        @rv.capture
        def step(x):
            (w * x).backward()

        w.grad = rv.zeros(1)
        for i in range(6):
            step(tensor(float(i)))
        assert w.grad.item() == 15.0

    def test_a_saved_value_changed_by_a_replay_is_noticed(self):
        w, x = rv.ones(1), rv.ones(1, requires_grad=True)

        @rv.capture
        def step():
            nonlocal w
            w += 1.0

        for _ in range(3):
            step()
        y = x * w
        step()
        with pytest.raises(RuntimeError, match="changed in place"):
            y.backward()


class TestErrors:
    def read(self, how):
        @rv.capture
        def step(x):
            y = x * 2.0
            how(y)
            return y

        step(tensor(1.0))
        return step

    @pytest.mark.parametrize(
        "how",
        [
            lambda y: y.item(),
            lambda y: y.numpy(),
            lambda y: float(y),
            lambda y: bool(y),
            lambda y: y.tolist(),
            lambda y: np.asarray(y),
            lambda y: rv.tensor([1.0]),
            lambda y: rv.from_numpy(np.ones(1)),
        ],
    )
    def test_reading_on_the_host_names_the_line_and_the_cure(self, how):
        step = self.read(how)
        with pytest.raises(rv.CaptureError, match=r"test_capture\.py:\d+") as caught:
            step(tensor(1.0))
        assert "expected" in str(caught.value)
        assert " - " in str(caught.value), "the cure is missing"

    def test_a_refused_recording_leaves_no_trace(self):
        total = rv.zeros(1)

        @rv.capture
        def step(x):
            nonlocal total
            total += x
            return total.item()

        assert step(tensor(1.0)) == 1.0
        with pytest.raises(rv.CaptureError):
            step(tensor(1.0))
        assert total.item() == 1.0, "the half-recorded step must be undone"
        assert not rv.is_capturing()
        assert (rv.ones(1) + 1.0).item() == 2.0

    def test_large_buffers_come_back_from_idle_blocks_of_any_size(self):
        # 12 MB of state; what lies idle is smaller, so its copy is cut into pieces
        state = [rv.randn(1_500_000), rv.randn(1_499_999), rv.randn(7)]
        before = [s.numpy().copy() for s in state]
        idle = [rv.empty(n) for n in (300_000, 70_000, 20_000, 1_000_000)]
        del idle

        @rv.capture
        def step(fail):
            for _ in range(2):
                for s in state:
                    s *= 3.0
            if fail == rv.is_capturing():
                raise KeyError("mine")

        step(True)
        after_one = [s.numpy().copy() for s in state]
        with pytest.raises(KeyError):
            step(True)
        for s, was, now in zip(state, before, after_one, strict=True):
            assert (now == was * np.float32(3) * np.float32(3)).all()
            assert (s.numpy() == now).all()

    def test_so_does_an_error_of_the_step_itself(self):
        fail = [False]

        @rv.capture
        def step(x):
            y = x * 2.0
            if fail[0]:
                raise KeyError("mine")
            return y

        step(tensor(1.0))
        fail[0] = True
        with pytest.raises(KeyError, match="mine"):
            step(tensor(1.0))
        assert not rv.is_capturing()
        fail[0] = False
        assert [step(tensor(float(i))).item() for i in range(3)] == [0.0, 2.0, 4.0]

    def test_the_first_call_may_read(self):
        function, calls = counted(lambda x: (x * 2.0).item())
        assert rv.capture(function)(tensor(1.0)) == 2.0
        assert calls == [1]


class TestThreads:
    def test_capture_concerns_one_thread(self):
        inside, done = threading.Event(), threading.Event()
        seen = []

        def other():
            inside.wait(10)
            seen.append((rv.is_capturing(), (rv.ones(1) * 3.0).item()))
            done.set()

        thread = threading.Thread(target=other)
        thread.start()

        @rv.capture
        def step(x):
            if rv.is_capturing():
                inside.set()
                assert done.wait(10)
            return x + 1.0

        for i in range(3):
            assert step(tensor(float(i))).item() == i + 1.0
        thread.join()
        assert seen == [(False, 3.0)]
        assert len(step.program) == 1


class TestProgram:
    def test_it_lists_its_kernels(self):
        step = rv.capture(lambda x: x * x + 1.0)
        assert step.program is None
        for _ in range(3):
            step(rv.ones(4, 5))
        assert len(step.program) == 2
        text = str(step.program)
        assert text.count("binary") == 2
        assert "4, 5" in text or "4x5" in text

    def test_a_captured_function_keeps_its_name(self):
        @rv.capture
        def step(x):
            """Doubles."""
            return x * 2.0

        assert step.__name__ == "step"
        assert step.__doc__ == "Doubles."

    @pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts Linux's page faults")
    def test_a_steady_step_touches_no_fresh_memory(self):
        """Neither replayed nor eager: buffers go from step to step instead of to the system."""
        import resource

        net = rv.nn.Sequential(
            rv.nn.Conv2d(3, 16, 3, padding=1), rv.nn.BatchNorm2d(16), rv.nn.ReLU(),
            rv.nn.MaxPool2d(2), rv.nn.Conv2d(16, 16, 3, padding=1), rv.nn.Flatten(),
            rv.nn.Linear(16 * 32 * 32, 10),
        )  # fmt: skip
        optimizer = rv.optim.Adam(net.parameters())
        x, y = rv.randn(8, 3, 64, 64), rv.zeros(8, dtype=rv.int64)

        def step(x, y):
            loss = F.cross_entropy(net(x), y)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            return loss

        for run in (step, rv.capture(step)):
            for _ in range(5):
                run(x, y)
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            for _ in range(10):
                run(x, y)
            faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
            # One image of 16 channels alone is 64 pages; Python takes a page now and then.
            assert faults < 200


# What a random program may do with square matrices; each returns one.
INSTRUCTIONS = {
    "add": lambda a, b: a + b,
    "multiply": lambda a, b: a * b,
    "tanh": lambda a, b: F.tanh(a),
    "product": lambda a, b: F.tanh(a @ b),
    "turn": lambda a, b: a.T,
    "fold": lambda a, b: a.sum(dim=0, keepdim=True).expand(4, 4) * 0.25,
    "choose": lambda a, b: F.where(a > b, a, b),
    "mix": lambda a, b: F.concat([a[:2], b[2:]]),
    "flip": lambda a, b: a[::-1],
    "twice": lambda a, b: F.concat([a, a], dim=1).reshape(8, 4)[1::2],
}


def compute(program, matrices, state):
    """Runs instructions (name, operand, operand); "keep" changes the state in place."""
    values = list(matrices)
    for name, i, j in program:
        a, b = values[i % len(values)], values[j % len(values)]
        if name == "keep":
            with rv.no_grad():
                state += a.detach()
                state *= 0.5
            values.append(state * 1.0)
        else:
            values.append(INSTRUCTIONS[name](a, b))
    return values


@given(
    st.lists(
        st.tuples(st.sampled_from([*INSTRUCTIONS, "keep"]), st.integers(0, 20), st.integers(0, 20)),
        min_size=1,
        max_size=12,
    ),
    st.lists(st.integers(0, 20), min_size=1, max_size=3),
)
def test_any_program_gives_eagers_bits(program, returned):
    weight = rv.tensor(np.linspace(-1, 1, 16, dtype=np.float32).reshape(4, 4), requires_grad=True)
    states = [rv.zeros(4, 4), rv.zeros(4, 4)]

    def step(x, state):
        values = compute(program, [x, weight], state)
        F.sum(values[-1] * weight).backward()
        gradient, weight.grad = weight.grad, None
        return [values[i % len(values)] for i in returned] + [gradient]

    captured = rv.capture(lambda x: step(x, states[0]))
    rng = np.random.default_rng(0)
    for _ in range(5):
        x = rv.tensor(rng.standard_normal((4, 4)).astype(np.float32))
        results, expected = captured(x), step(x, states[1])
        for ours, eager in zip([*results, states[0]], [*expected, states[1]], strict=True):
            assert ours.numpy().tobytes() == eager.numpy().tobytes()


CHECKED = """
import ranvier as rv
w, count = rv.ones(2), [0]

@rv.capture
def good(x):
    global w
    w += x
    return w * 2.0

for i in range(5):
    assert good(rv.tensor([1.0, float(i)])).tolist() == (w * 2.0).tolist()
assert w.tolist() == [6.0, 11.0]

@rv.capture
def bad(x):
    count[0] += 1
    return x * float(count[0])

try:
    for i in range(5):
        bad(rv.ones(1))
except rv.CaptureError as error:
    assert "[capture] expected a replay to give the bits" in str(error), error
else:
    raise SystemExit("a constant that changes was not noticed")
"""


def test_the_environment_asks_for_a_check_of_every_replay():
    environment = {**os.environ, "RANVIER_CHECK_CAPTURE": "1"}
    subprocess.run([sys.executable, "-c", CHECKED], env=environment, check=True)

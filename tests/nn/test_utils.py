"""Gradient clipping and parameters as a vector."""

import numpy as np
import pytest

import ranvier as rv
from ranvier import nn
from tests.harness import host, threads


def leaves(seed: int = 0, dtype: str = "float64") -> list[rv.Tensor]:
    """Parameters of several shapes whose gradients are normal numbers."""
    rng = np.random.default_rng(seed)
    made = []
    for shape in [(3, 4), (5,), (), (2, 3, 2)]:
        p = rv.zeros(shape, dtype=dtype, requires_grad=True)
        (p * rv.tensor(rng.normal(size=shape), dtype=dtype)).sum().backward()
        made.append(p)
    return made


def flat(parameters: list[rv.Tensor]) -> np.ndarray:
    return np.concatenate([host(p.grad).ravel() for p in parameters])


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0, float("inf")])
@pytest.mark.parametrize("max_norm", [0.5, 100.0, 0.0])
def test_all_gradients_are_shortened_together(p, max_norm):
    given = leaves()
    before = flat(given)
    total = nn.utils.clip_grad_norm_(given, max_norm, p)
    size = np.linalg.norm(before, p)
    assert total.item() == pytest.approx(size, rel=1e-14)
    np.testing.assert_allclose(flat(given), before * min(1.0, max_norm / (size + 1e-6)), rtol=1e-14)
    assert np.linalg.norm(flat(given), p) <= max(max_norm, 0.0) + 1e-12 or max_norm >= size


def test_short_gradients_stay_bit_for_bit():
    given = leaves(dtype="float32")
    before = flat(given)
    nn.utils.clip_grad_norm_(iter(given), 1e6)
    np.testing.assert_array_equal(flat(given), before)


def test_parameters_without_gradient_are_passed_over():
    p = rv.ones(3, requires_grad=True)
    assert nn.utils.clip_grad_norm_([p], 1.0).item() == 0.0
    assert p.grad is None
    given = [*leaves(), p]
    nn.utils.clip_grad_norm_(given, 1.0)
    nn.utils.clip_grad_value_(given, 0.1)
    assert nn.utils.clip_grad_norm_(leaves()[0], 1.0).shape == ()


def test_what_is_refused():
    given = leaves()
    with pytest.raises(ValueError, match=r"\[clip_grad_norm_\] expected max_norm"):
        nn.utils.clip_grad_norm_(given, -1.0)
    with pytest.raises(ValueError, match=r"\[clip_grad_value_\] expected a bound"):
        nn.utils.clip_grad_value_(given, -1.0)
    given[0].grad.fill_(float("nan"))
    assert np.isnan(nn.utils.clip_grad_norm_(given, 1.0).item())
    with pytest.raises(ValueError, match=r"finite norm, got nan - look"):
        nn.utils.clip_grad_norm_(given, 1.0, error_if_nonfinite=True)


def test_each_element_is_clipped():
    given = leaves()
    before = flat(given)
    nn.utils.clip_grad_value_(given, 0.3)
    np.testing.assert_array_equal(flat(given), np.clip(before, -0.3, 0.3))


def test_the_bits_do_not_depend_on_threads():
    def run() -> bytes:
        p = rv.zeros(300, 400, requires_grad=True)
        q = rv.zeros(77, requires_grad=True)
        rng = np.random.default_rng(1)
        for t in (p, q):
            (t * rv.tensor(rng.normal(size=t.shape).astype(np.float32))).sum().backward()
        nn.utils.clip_grad_norm_([p, q], 1.0)
        return flat([p, q]).tobytes()

    expected = run()
    for count in (1, 2, 3):
        with threads(count):
            assert run() == expected


def test_a_captured_step_clips():
    w, x = rv.zeros(4, requires_grad=True), rv.zeros(4)

    def step() -> rv.Tensor:
        w.grad = None
        (w * x).sum().backward()
        total = nn.utils.clip_grad_norm_([w], 1.0)
        return w.grad.clone(), total

    captured = rv.capture(step)
    for i in range(5):
        x.copy_(rv.tensor([3.0, 0.0, 4.0, 0.0]) * float(i))
        grad, total = captured()
        grad, total = host(grad).copy(), total.item()
        expected, length = step()
        np.testing.assert_array_equal(grad, host(expected))
        assert total == length.item() == 5.0 * i


def test_parameters_as_one_vector():
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    vector = nn.utils.parameters_to_vector(model.parameters())
    assert vector.shape == (3 * 2 + 2 + 2 + 1,)
    nn.utils.vector_to_parameters(vector.detach() * 2.0, model.parameters())
    again = nn.utils.parameters_to_vector(model.parameters())
    np.testing.assert_array_equal(host(again), 2.0 * host(vector))
    with pytest.raises(ValueError, match=r"\[vector_to_parameters\] expected a vector of 11"):
        nn.utils.vector_to_parameters(rv.zeros(12), model.parameters())

"""Every optimizer, step by step beside their NumPy references and PyTorch."""

import copy

import numpy as np
import pytest

import ranvier as rv
from ranvier import optim
from ranvier.reference.adadelta import adadelta
from ranvier.reference.adagrad import adagrad
from ranvier.reference.adam import adam, adamw
from ranvier.reference.rmsprop import rmsprop
from ranvier.reference.sgd import sgd

pytestmark = pytest.mark.kernels

CASES = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.1, "momentum": 0.5, "dampening": 0.25}),
    ("SGD", {"lr": 0.1, "weight_decay": 0.1, "maximize": True}),
    ("Adam", {}),
    ("Adam", {"lr": 0.01, "betas": (0.5, 0.75), "eps": 1e-3, "weight_decay": 0.1}),
    ("Adam", {"maximize": True}),
    ("AdamW", {}),
    ("AdamW", {"lr": 0.05, "weight_decay": 0.3}),
    ("RMSprop", {"lr": 0.01}),
    ("RMSprop", {"lr": 0.1, "alpha": 0.5, "eps": 1e-3, "momentum": 0.9, "maximize": True}),
    ("RMSprop", {"lr": 0.01, "centered": True, "weight_decay": 0.1}),
    ("RMSprop", {"lr": 0.01, "centered": True, "momentum": 0.5}),
    ("Adagrad", {"lr": 0.01}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.3, "weight_decay": 0.1, "maximize": True}),
    ("Adagrad", {"lr": 0.1, "initial_accumulator_value": 0.5, "eps": 1e-3}),
    ("Adadelta", {"lr": 1.0}),
    ("Adadelta", {"lr": 0.5, "rho": 0.5, "eps": 0.1, "weight_decay": 0.1, "maximize": True}),
    ("Adadelta", {"lr": 1.0, "rho": 1.0}),
]
RULES = {
    "SGD": sgd, "Adam": adam, "AdamW": adamw, "RMSprop": rmsprop, "Adagrad": adagrad,
    "Adadelta": adadelta,
}  # fmt: skip
STATE_BY_OPTIONS = ("SGD", "RMSprop")
SHAPES = [(7, 33), (5,), (), (0, 3), (2, 3, 4, 5), (1000,)]
STEPS = 6


def draw(seed=0):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(s) for s in SHAPES]


def run(name, options, dtype=np.float32, steps=STEPS):
    ps = [rv.tensor(p.astype(dtype), requires_grad=True) for p in draw()]
    opt = getattr(optim, name)(ps, **options)
    for step in range(steps):
        for p, g in zip(ps, draw(step + 1), strict=True):
            p.grad = rv.tensor(g.astype(dtype))
        opt.step()
    return ps, opt


def wanted(name, options):
    options = dict(options)
    sign = -1 if options.pop("maximize", False) else 1
    ps, states = draw(), [{} for _ in SHAPES]
    for step in range(STEPS):
        gs = draw(step + 1)
        for i, g in enumerate(gs):
            ps[i], states[i] = RULES[name](ps[i], sign * g, states[i], **options)
    return ps


@pytest.mark.parametrize(("name", "options"), CASES)
def test_all_parameters_at_once(name, options):
    """Shares of work cross parameters; each gets the bits that it gets alone."""
    rng = np.random.default_rng(1)
    shapes = [(3,), (129, 200), (), (64, 64, 3), (20000,), *[(i % 7,) for i in range(300)]]
    values = [rng.standard_normal(s, dtype=np.float32) for s in shapes]
    grads = [rng.standard_normal(s, dtype=np.float32) for s in shapes]

    def steps(chosen):
        ps = [rv.tensor(values[i], requires_grad=True) for i in chosen]
        opt = getattr(optim, name)(ps, **options)
        for _ in range(2):
            for p, i in zip(ps, chosen, strict=True):
                # one gradient lies in memory in another order than its parameter
                p.grad = rv.tensor(grads[i].T.copy()).T if i == 1 else rv.tensor(grads[i])
            opt.step()
        return [p.numpy() for p in ps]

    together = steps(range(len(shapes)))
    for i in (0, 1, 2, 3, 4, 5, 150, 303):
        np.testing.assert_array_equal(together[i], steps([i])[0])


def test_adam_at_the_edge_of_its_numbers():
    """Gradients of nothing, of less than their squares can hold, and huge ones."""
    g = np.array([0.0, -0.0, 1e-30, -1e-22, 1e-12, 1e15, -3e18, np.nan], np.float32)
    p = rv.tensor(np.zeros(8, np.float32), requires_grad=True)
    opt = optim.Adam([p], lr=0.5)
    p.grad = rv.tensor(g)
    opt.step()
    m, v = 0.1 * g.astype(np.float64), (0.001 * g * g).astype(np.float64)
    want = -0.5 * (m / 0.1) / (np.sqrt(v / 0.001) + 1e-8)
    np.testing.assert_allclose(p.numpy()[:7], want[:7], rtol=1e-5, atol=1e-9)
    assert np.isnan(p.numpy()[7])


@pytest.mark.parametrize(("name", "options"), CASES)
@pytest.mark.parametrize(("dtype", "eps"), [(np.float64, 2.0**-52), (np.float32, 2.0**-23)])
def test_reference(name, options, dtype, eps):
    start = [p.astype(dtype).astype(np.float64) for p in draw()]
    ps, _ = run(name, options, dtype)
    lr = options.get("lr", 1e-3)
    for p, want, first in zip(ps, wanted(name, options), start, strict=True):
        # Inputs, each update (at most some 20 lr) and each sum are rounded a few times per step;
        # the square root's inverse stays tame because the gradients do not vanish.
        scale = np.abs(first) + STEPS * 20 * lr
        np.testing.assert_array_less(np.abs(p.numpy() - want), 4 * STEPS * eps * scale + 1e-300)


@pytest.mark.external
@pytest.mark.parametrize(("name", "options"), CASES)
def test_torch(name, options):
    torch = pytest.importorskip("torch")
    ps = [torch.tensor(p, requires_grad=True) for p in draw()]
    peer = getattr(torch.optim, name)(ps, **options)
    for step in range(STEPS):
        for p, g in zip(ps, draw(step + 1), strict=True):
            p.grad = torch.tensor(g)
        peer.step()
    ours, opt = run(name, options, np.float64)
    for a, b in zip(ours, ps, strict=True):
        np.testing.assert_allclose(a.numpy(), b.detach().numpy(), rtol=1e-13, atol=1e-14)
    for slot, tensors in opt.groups[0].state.items():
        for t, p in zip(tensors, ps, strict=True):
            np.testing.assert_allclose(
                t.numpy(), peer.state[p][slot].numpy(), rtol=1e-13, atol=1e-14
            )


@pytest.mark.parametrize(("name", "options"), CASES)
def test_same_bits_for_any_number_of_threads(name, options):
    before = rv.num_threads()
    try:
        rv.set_num_threads(1)
        one, _ = run(name, options)
        rv.set_num_threads(2)
        two, _ = run(name, options)
    finally:
        rv.set_num_threads(before)
    assert all(a.numpy().tobytes() == b.numpy().tobytes() for a, b in zip(one, two, strict=True))


@pytest.mark.parametrize(("name", "options"), CASES)
def test_a_captured_step_is_the_eager_step(name, options):
    def train(wrap):
        w = rv.tensor([[1.0, -2.0], [0.5, 3.0]], requires_grad=True)
        b = rv.tensor([0.5, -0.25], requires_grad=True)
        opt = getattr(optim, name)([w, b], **options)

        def step(x):
            opt.zero_grad()
            y = w * x + b
            (y * y).backward(rv.ones(2, 2))
            opt.step()

        step = wrap(step)
        for i in range(8):
            opt.lr = 0.1 / (i + 1)
            step(rv.tensor([float(i), 1.0 - i]))
        return [t.numpy().tobytes() for t in (w, b, opt.groups[0].steps)]

    assert train(rv.capture) == train(lambda step: step)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_resume_gives_the_same_bits(name, options):
    whole, _ = run(name, options, steps=6)
    half, opt = run(name, options, steps=3)
    state = copy.deepcopy(opt.state_dict())
    ps = [p.detach().__deepcopy__({}).requires_grad_() for p in half]
    fresh = getattr(optim, name)(ps, **(options if name in STATE_BY_OPTIONS else {"lr": 99.0}))
    fresh.load_state_dict(state)
    for step in range(3, 6):
        for p, g in zip(ps, draw(step + 1), strict=True):
            p.grad = rv.tensor(g.astype(np.float32))
        fresh.step()
    assert all(a.numpy().tobytes() == b.numpy().tobytes() for a, b in zip(ps, whole, strict=True))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("SGD", {"momentum": 0.9, "dampening": 0.5, "lr": 0.1}),
        ("Adam", {"lr": 0.1}),
        ("Adagrad", {"lr": 0.1, "lr_decay": 0.5, "initial_accumulator_value": 1.0}),
    ],
)
def test_each_parameter_counts_its_own_steps(name, options):
    a, b, c = (rv.tensor([1.0], requires_grad=True) for _ in range(3))
    opt = getattr(optim, name)([a, b, c], **options)
    for step in range(4):
        for p in (a, c) if step < 2 else (a, b, c):
            p.grad = rv.tensor([float(step % 2 + 1)])
        opt.step()
        opt.zero_grad()
    alone = rv.tensor([1.0], requires_grad=True)
    opt2 = getattr(optim, name)([alone], **options)
    for step in (2, 3):
        alone.grad = rv.tensor([float(step % 2 + 1)])
        opt2.step()
    assert b.item() == alone.item()
    assert a.item() == c.item() != b.item()
    assert opt.groups[0].steps.tolist() == [4, 2, 4]


def test_gradients_of_another_layout():
    a = rv.tensor(np.arange(6, dtype=np.float32).reshape(2, 3), requires_grad=True)
    g = np.arange(6, dtype=np.float32).reshape(3, 2)
    a.grad = rv.from_numpy(g.T)
    optim.SGD([a], lr=1.0).step()
    assert a.tolist() == (np.arange(6).reshape(2, 3) - g.T).tolist()


def test_pairs_and_groups():
    a, b = (rv.tensor([1.0], requires_grad=True) for _ in range(2))
    opt = optim.Adam([{"params": [a], "betas": (0.5, 0.6)}, {"params": [b]}])
    assert (opt.groups[0]["beta1"], opt.groups[0]["beta2"]) == (0.5, 0.6)
    assert (opt.groups[1]["beta1"], opt.groups[1]["beta2"]) == (0.9, 0.999)
    assert opt.groups[0].keys() == [
        "params", "lr", "beta1", "beta2", "eps", "weight_decay", "maximize",
    ]  # fmt: skip
    assert repr(optim.SGD([a])) == (
        "SGD(lr=0.001, momentum=0, dampening=0, weight_decay=0, nesterov=0, maximize=0, "
        "1 parameters)"
    )


def test_errors():
    a = rv.tensor([1.0], requires_grad=True)
    with pytest.raises(ValueError, match="expected momentum and no dampening for nesterov"):
        optim.SGD([a], nesterov=True)
    with pytest.raises(ValueError, match="expected betas as a pair"):
        optim.Adam([a], betas=0.9)
    with pytest.raises(ValueError, match=r"\[AdamW\] expected beta2 from 0 to below 1, got 1"):
        optim.AdamW([a], betas=(0.9, 1.0))
    with pytest.raises(ValueError, match=r"\[SGD\] expected weight_decay of at least 0"):
        optim.SGD([a], weight_decay=-0.1)
    for name, key in (("RMSprop", "alpha"), ("Adadelta", "rho")):
        with pytest.raises(ValueError, match=rf"\[{name}\] expected {key} from 0 to 1, got 1\.5"):
            getattr(optim, name)([a], **{key: 1.5})
    with pytest.raises(ValueError, match=r"\[Adagrad\] expected initial_accumulator_value of at l"):
        optim.Adagrad([a], initial_accumulator_value=-1)
    with pytest.raises(ValueError, match=r"build RMSprop\(\.\.\., centered=1\)"):
        optim.RMSprop([a]).groups[0]["centered"] = True
    opt = optim.SGD([a], lr=0.1)
    with pytest.raises(ValueError, match=r"build SGD\(\.\.\., momentum=0\.9\)"):
        opt.groups[0]["momentum"] = 0.9
    opt = optim.SGD([a], lr=0.1, momentum=0.5)
    opt.groups[0]["momentum"] = 0.9
    opt.groups[0]["momentum"] = 0

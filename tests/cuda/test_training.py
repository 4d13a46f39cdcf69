"""Whole trainings on the device "cuda" follow those on the cpu."""

import numpy as np
import pytest

import ranvier as rv
import ranvier.functional as F
from ranvier import nn, optim

pytestmark = [
    pytest.mark.kernels,
    pytest.mark.skipif(not rv.cuda.is_available(), reason=rv.cuda.why_not()),
]


def losses(device, make, batches, rate, steps, captured=False):
    """Loss after loss of a training that starts from the same weights on every device."""
    rv.manual_seed(3)
    model = make().to(device)
    optimizer = optim.Adam(model.parameters(), lr=rate)

    def step(x, y):
        optimizer.zero_grad()
        out = model(x)
        loss = F.cross_entropy(out.reshape(-1, out.shape[-1]), y.reshape(-1))
        loss.backward()
        optimizer.step()
        return loss

    run = rv.capture(step) if captured else step
    found = []
    for i in range(steps):
        x, y = batches[i % len(batches)]
        found.append(run(rv.tensor(x, device=device), rv.tensor(y, device=device)).item())
    return np.array(found)


def lenet():
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.Tanh(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.AvgPool2d(2),
        nn.Flatten(), nn.Linear(400, 32), nn.Tanh(), nn.Linear(32, 10),
    )  # fmt: skip


@pytest.fixture
def digits():
    rng = np.random.default_rng(0)
    return [
        (rng.standard_normal((8, 1, 28, 28)).astype(np.float32), rng.integers(0, 10, 8))
        for _ in range(2)
    ]


@pytest.mark.parametrize("captured", [False, True])
def test_lenet(digits, captured):
    cpu = losses("cpu", lenet, digits, 3e-3, 5)
    cuda = losses("cuda", lenet, digits, 3e-3, 5, captured)
    np.testing.assert_allclose(cuda, cpu, rtol=1e-4)
    assert cuda[4] < cuda[0]


def test_two_runs_have_the_same_bits(digits):
    first = losses("cuda", lenet, digits, 3e-3, 2)
    assert (losses("cuda", lenet, digits, 3e-3, 2) == first).all()


class CharLstm(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(11, 8)
        self.lstm = nn.LSTM(8, 16, batch_first=True)
        self.out = nn.Linear(16, 11)

    def forward(self, x):
        return self.out(self.lstm(self.embedding(x))[0])


@pytest.mark.parametrize("captured", [False, True])
def test_char_lstm(captured):
    text = np.random.default_rng(1).integers(0, 11, (2, 4, 13))
    batches = [(t[:, :-1].copy(), t[:, 1:].copy()) for t in text]
    cpu = losses("cpu", CharLstm, batches, 1e-2, 5)
    cuda = losses("cuda", CharLstm, batches, 1e-2, 5, captured)
    np.testing.assert_allclose(cuda, cpu, rtol=1e-4)

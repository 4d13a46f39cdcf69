"""Nested states in one file: round trips and refusals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import ranvier as rv
from ranvier.io import save_file
from ranvier.io.state import load_state, save_state


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "s.safetensors"
    state = {
        "step": 7,
        "lr": 0.1,
        "name": "adam ☃",
        "none": None,
        "flags": [True, False],
        "big": 2**70,
        "infinite": float("inf"),
        "moments": [np.float32([1, 2]), {"v": np.zeros((2, 0))}],
        "by index": {0: {"m": np.arange(3)}, 1: 2},
        "$odd": 1,
        "empty": {},
    }
    save_state(state, path)
    loaded = load_state(path, as_numpy=True)
    assert set(loaded) == set(state)
    for key in ("step", "lr", "name", "none", "flags", "big", "infinite", "$odd", "empty"):
        assert loaded[key] == state[key]
        assert type(loaded[key]) is type(state[key])
    np.testing.assert_array_equal(loaded["moments"][0], [1, 2])
    assert loaded["moments"][1]["v"].shape == (2, 0)
    np.testing.assert_array_equal(loaded["by index"][0]["m"], [0, 1, 2])
    assert loaded["by index"][1] == 2


def test_names_that_meet_stay_apart(tmp_path: Path) -> None:
    path = tmp_path / "s.safetensors"
    save_state({"x": {1: np.float32([1]), "1": np.float32([2])}, "x/1": np.float32([3])}, path)
    loaded = load_state(path, as_numpy=True)
    assert [loaded["x"][1][0], loaded["x"]["1"][0], loaded["x/1"][0]] == [1, 2, 3]


def test_floats_are_exact(tmp_path: Path) -> None:
    values = [0.1, 1 / 3, 5e-324, 1.7976931348623157e308, np.float64(2) / 7]
    save_state({"values": values}, tmp_path / "s")
    assert load_state(tmp_path / "s")["values"] == values


def test_refuses_other_types(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"got set at /optimizer/0"):
        save_state({"optimizer": [{1, 2}]}, tmp_path / "s")
    assert not list(tmp_path.iterdir())


def test_plain_weights_are_no_state(tmp_path: Path) -> None:
    save_file({"w": np.zeros(2)}, tmp_path / "w")
    with pytest.raises(ValueError, match="without a state"):
        load_state(tmp_path / "w")


@pytest.mark.parametrize("text", ["{", '{"a": {"$tensor": "gone"}}', '{"$items": [1]}'])
def test_damaged_state(tmp_path: Path, text: str) -> None:
    save_file({"w": np.zeros(2)}, tmp_path / "w", {"state": text})
    with pytest.raises(ValueError, match="damaged"):
        load_state(tmp_path / "w", as_numpy=True)


def test_state_is_readable_json(tmp_path: Path) -> None:
    from ranvier.io import read_header

    save_state({"model": {"conv1.weight": np.zeros(2)}, "step": 3}, tmp_path / "s")
    header = read_header(tmp_path / "s")
    assert json.loads(header.metadata["state"])["step"] == 3
    assert list(header.entries) == ["model/conv1.weight"]


def test_save_takes_both_kinds(tmp_path: Path) -> None:
    model = rv.nn.Linear(2, 1)
    optimizer = rv.optim.Adam(model.parameters(), lr=0.25)
    model(rv.ones(1, 2)).sum().backward()
    optimizer.step()
    plain, nested = tmp_path / "plain", tmp_path / "nested"
    rv.save(model, plain)
    assert sorted(rv.load(plain)) == sorted(rv.io.load_file(plain)) == ["bias", "weight"]
    rv.save({"epoch": 3, "model": model.state_dict(), "optimizer": optimizer.state_dict()}, nested)
    again = rv.nn.Linear(2, 1)
    other = rv.optim.Adam(again.parameters())
    checkpoint = rv.load(nested, map_location="cpu", weights_only=True)
    again.load_state_dict(checkpoint["model"])
    other.load_state_dict(checkpoint["optimizer"])
    assert (checkpoint["epoch"], other.lr) == (3, 0.25)
    assert again.weight.tolist() == model.weight.tolist()
    assert rv.load(nested, map_location="meta")["model"]["weight"].device == "meta"
    rv.save([1, {"w": rv.ones(1)}], nested)
    assert rv.load(nested)[0] == 1


def test_save_takes_tensors_without_names(tmp_path: Path) -> None:
    path = tmp_path / "file"
    x = rv.tensor([1.0, 2.0], requires_grad=True)
    rv.save(x, path)
    assert rv.load(path).tolist() == [1.0, 2.0]
    rv.save({1: x, "1": rv.zeros(1), (2, "b"): np.float32([3])}, path)
    again = rv.load(path)
    assert {key: value.tolist() for key, value in again.items()} == {
        1: [1.0, 2.0], "1": [0.0], (2, "b"): [3.0],
    }  # fmt: skip
    with pytest.raises(TypeError, match=r"\[save_state\] expected numbers.*got object at /"):
        rv.save(object(), path)

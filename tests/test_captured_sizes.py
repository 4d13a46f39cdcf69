"""Captured steps that read arrays and containers too large to be compared before each replay."""

from __future__ import annotations

import collections
import logging

import numpy as np
import pytest

import ranvier as rv

X = rv.ones(2)


def grown(large):
    if isinstance(large, dict):
        large[-1] = 5.0
    elif isinstance(large, set):
        large.add(-1)
    else:
        large.append(5.0)


def count(large):
    return float(len(large))


@pytest.mark.parametrize("kind", [list, set, collections.deque, dict.fromkeys])
def test_a_large_container_that_grows_is_noticed(kind):
    large = kind(range(20_000))
    step = rv.capture(lambda x: x * count(large))
    for _ in range(4):
        assert step(X).tolist() == [20_000.0] * 2
    grown(large)
    assert step(X).tolist() == [20_001.0] * 2
    for _ in range(3):
        assert step(X).tolist() == [20_001.0] * 2


@pytest.mark.parametrize("layout", ["rows", "columns", "strided", "objects"])
def test_a_large_array_that_changes_is_noticed(layout):
    large = np.zeros((700, 700), np.float32)
    large = {
        "rows": large, "columns": large.T, "strided": np.zeros((1400, 700), np.float32)[::2],
        "objects": np.full((700, 700), 0.0, object),
    }[layout]  # fmt: skip
    step = rv.capture(lambda x: x * float(large[0, 0]))
    for value in (0.0, 1.0, 2.0):
        large[:] = value
        for _ in range(4):
            assert step(X).tolist() == [value] * 2


def test_the_large_is_warned_of_once(caplog):
    large, few, words = np.zeros(10**6, np.float32), np.zeros(10), list(range(20_000))

    def named(x):
        return x * float(large[0] + few[0] + max(words))

    step = rv.capture(named)
    with caplog.at_level(logging.WARNING, "ranvier"):
        for _ in range(3):
            step(X)
            step(rv.ones(3))
    assert caplog.text.count("replays of the step named notice when large, words changes") == 1


def test_what_cannot_go_stale_is_not_warned_of(caplog):
    large, words = np.zeros(10**6, np.float32), list(range(20_000))
    table, frozen = np.zeros(10**6, np.float32), tuple(words)
    table.flags.writeable = False
    step = rv.capture(lambda x: x * (large.shape[0] + words[7] + len(frozen) + float(table[0])))
    with caplog.at_level(logging.WARNING, "ranvier"):
        for _ in range(4):
            assert step(X).tolist() == [1_020_007.0] * 2
        words[7] = 8
        assert step(X).tolist() == [1_020_008.0] * 2
    assert caplog.text == ""


def test_arrays_of_an_object_that_is_handed_on_are_watched_quietly(caplog):
    class Trainer:
        def __init__(self):
            self.data = np.zeros(10**6, np.float32)

    def first(trainer):
        return float(getattr(trainer, "da" + "ta")[0])

    trainer = Trainer()
    step = rv.capture(lambda x: x + first(trainer))
    with caplog.at_level(logging.WARNING, "ranvier"):
        for value in (0.0, 3.0):
            trainer.data[:] = value
            for _ in range(4):
                assert step(X).tolist() == [1.0 + value] * 2
    assert caplog.text == ""

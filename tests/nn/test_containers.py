import pytest

import ranvier as rv
from ranvier import nn


class Add(nn.Module):
    def __init__(self, value):
        self.value = value

    def forward(self, x):
        return x + self.value


def values(modules):
    return [m.value for m in modules]


def test_sequential_runs_in_order():
    net = nn.Sequential(Add(1), nn.Sequential(Add(2), Add(3)))
    assert net(rv.zeros(2)).tolist() == [6.0, 6.0]
    assert [n for n, _ in net.named_modules()] == ["", "0", "1", "1.0", "1.1"]
    assert nn.Sequential()(3) == 3


def test_sequential_of_names():
    net = nn.Sequential({"one": Add(1), "two": Add(2)})
    assert net.one.value == 1
    assert net[1].value == 2
    assert net[-1].value == 2
    head = net[:1]
    assert isinstance(head, nn.Sequential)
    assert head.one is net.one


def test_list_operations():
    parts = nn.ModuleList([Add(1), Add(2)])
    parts.append(Add(3))
    parts.insert(1, Add(4))
    assert values(parts) == [1, 4, 2, 3]
    assert [n for n, _ in parts.named_children()] == ["0", "1", "2", "3"]
    parts[-1] = Add(9)
    del parts[0]
    assert values(parts) == [4, 2, 9]
    assert values(parts[1:]) == [2, 9]
    assert len(parts) == 3
    assert [n for n, _ in parts.named_children()] == ["0", "1", "2"]
    parts.extend(Add(i) for i in range(10))
    assert values(parts)[-1] == 9
    assert len(parts) == 13
    with pytest.raises(IndexError, match="below 13, got 13"):
        parts[13]


def test_dict_operations():
    parts = nn.ModuleDict({"a": Add(1)})
    parts["b"] = Add(2)
    assert parts.keys() == ["a", "b"]
    assert values(parts.values()) == [1, 2]
    assert "a" in parts
    assert "c" not in parts
    assert list(parts) == ["a", "b"]
    del parts["a"]
    assert len(parts) == 1
    assert [n for n, m in parts.items()] == ["b"]
    with pytest.raises(KeyError, match="expected one of b, got 'a'"):
        parts["a"]


def test_what_they_refuse():
    with pytest.raises(TypeError, match=r"expected modules, got function"):
        nn.Sequential(lambda x: x)
    with pytest.raises(TypeError, match=r"write Add\(\.\.\.\)"):
        nn.ModuleList([Add])
    with pytest.raises(ValueError, match="without dots"):
        nn.ModuleDict({"a.b": Add(1)})
    with pytest.raises(ValueError, match="which every ModuleDict has"):
        nn.ModuleDict({"forward": Add(1)})

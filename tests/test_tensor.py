"""The Tensor without its ops: dtypes, memory shared with others, views, in-place rules, meta."""

import copy
import gc
import pickle
import weakref
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import ranvier as rv
from ranvier import _core

DTYPES = ("float32", "float64", "bfloat16", "float16", "int64", "int32", "uint8", "bool")
NUMPY_DTYPES = tuple(d for d in DTYPES if d != "bfloat16")
PROMOTION = {  # the upper triangle of PyTorch's table: category first, then size
    "float32": "float32 float64 float32 float32 float32 float32 float32 float32",
    "float64": "float64 float64 float64 float64 float64 float64 float64 float64",
    "bfloat16": "float32 float64 bfloat16 float32 bfloat16 bfloat16 bfloat16 bfloat16",
    "float16": "float32 float64 float32 float16 float16 float16 float16 float16",
    "int64": "float32 float64 bfloat16 float16 int64 int64 int64 int64",
    "int32": "float32 float64 bfloat16 float16 int64 int32 int32 int32",
    "uint8": "float32 float64 bfloat16 float16 int64 int32 uint8 uint8",
    "bool": "float32 float64 bfloat16 float16 int64 int32 uint8 bool",
}


class TestMaking:
    def test_python_numbers(self):
        assert rv.tensor(1.5).dtype == rv.float32
        assert rv.tensor([1, 2]).dtype == rv.int64
        assert rv.tensor([True]).dtype == rv.bool
        assert rv.tensor([1, 2.5]).dtype == rv.float32
        assert rv.tensor([]).shape == (0,)
        assert rv.tensor([[1.0, 2.0], [3.0, 4.0]]).tolist() == [[1.0, 2.0], [3.0, 4.0]]

    @pytest.mark.parametrize("dtype", NUMPY_DTYPES)
    def test_numpy_arrays_keep_their_dtype(self, dtype):
        t = rv.tensor(np.ones(3, dtype))
        assert t.dtype.name == dtype
        assert t.numpy().dtype == dtype

    def test_a_copy_is_a_copy(self):
        a = np.ones(3, np.float32)
        t = rv.tensor(a)
        a[0] = 7
        assert t.tolist() == [1.0, 1.0, 1.0]
        again = rv.tensor(t)
        again.fill_(2.0)
        assert t.tolist() == [1.0, 1.0, 1.0]

    @pytest.mark.parametrize("dtype", DTYPES)
    def test_constructors(self, dtype):
        for t, value in [
            (rv.zeros(2, 3, dtype=dtype), 0),
            (rv.ones((2, 3), dtype=dtype), 1),
            (rv.full((2, 3), 1, dtype=dtype), 1),
        ]:
            assert t.shape == (2, 3)
            assert t.dtype.name == dtype
            plain = rv.zeros(2, 3)
            plain.copy_(t)
            assert (plain.numpy() == value).all()
        assert rv.empty(2, 0, dtype=dtype).size == 0

    def test_like(self):
        x = rv.from_numpy(np.asfortranarray(np.ones((2, 3))))
        for t in (rv.zeros_like(x), rv.ones_like(x), rv.empty_like(x)):
            assert (t.shape, t.dtype, t.strides) == (x.shape, x.dtype, x.strides)

    def test_arange(self):
        assert rv.arange(4).tolist() == [0, 1, 2, 3]
        assert rv.arange(4).dtype == rv.int64
        assert rv.arange(1, 2, 0.25).tolist() == [1.0, 1.25, 1.5, 1.75]
        assert rv.arange(3, 0, -1).tolist() == [3, 2, 1]
        assert rv.arange(3, 3).shape == (0,)
        with pytest.raises(ValueError, match="step"):
            rv.arange(0, 3, 0)

    def test_arange_on_meta_and_beyond_the_memory(self):
        for args in [(5,), (0, 5, 2), (5, 0, -2), (0, 1, 0.3), (3, 3), (5, 3)]:
            y, m = rv.arange(*args), rv.arange(*args, device="meta")
            assert (m.shape, m.dtype) == (y.shape, y.dtype)
        assert rv.arange(10**13, device="meta").shape == (10**13,)
        with pytest.raises(MemoryError, match=r"\[arange\] expected fewer"):
            rv.arange(10**16)
        with pytest.raises(ValueError, match=r"\[arange\] expected finite"):
            rv.arange(float("inf"))

    def test_linspace_and_eye(self):
        np.testing.assert_array_equal(
            rv.linspace(-1, 2, 7).numpy(), np.linspace(-1, 2, 7).astype(np.float32)
        )
        assert rv.linspace(0, 1, 0).shape == (0,)
        assert rv.linspace(0, 1, 1).tolist() == [0.0]
        assert rv.linspace(0, 1, 3, device="meta").shape == (3,)
        with pytest.raises(ValueError, match=r"\[linspace\] expected steps"):
            rv.linspace(0, 1, -1)
        for shape in [(3,), (2, 4), (4, 2), (0, 3)]:
            np.testing.assert_array_equal(rv.eye(*shape).numpy(), np.eye(*shape))
        assert rv.eye(2, dtype="int64").tolist() == [[1, 0], [0, 1]]
        assert rv.eye(2, device="meta").shape == (2, 2)

    def test_like_in_another_dtype(self):
        x = rv.zeros(2, 3)
        assert rv.full_like(x, 7).tolist() == [[7.0] * 3] * 2
        assert rv.ones_like(x, dtype="int64").tolist() == [[1] * 3] * 2
        assert rv.zeros_like(x, requires_grad=True).requires_grad
        assert str(rv.empty_like(x, device="meta").device) == "meta"

    def test_what_cannot_be_a_tensor(self):
        with pytest.raises(ValueError, match=r"\[tensor\] expected nested lists of one shape"):
            rv.tensor([[1, 2], [3]])
        with pytest.raises(TypeError, match="expected"):
            rv.tensor(["a"])
        with pytest.raises(TypeError, match="expected"):
            rv.tensor(object())
        with pytest.raises(TypeError, match="expected"):
            rv.tensor(np.ones(2, np.complex64))
        with pytest.raises(TypeError, match="float99"):
            rv.zeros(2, dtype="float99")
        with pytest.raises(ValueError, match="expected"):
            rv.zeros(2, -1)
        with pytest.raises(TypeError, match="whole numbers"):
            rv.zeros(2.5)
        with pytest.raises(ValueError, match="dimensions"):
            rv.zeros(*[1] * 9)

    def test_a_size_that_overflows(self):
        for shape in ((2**62, 2**62), (2**40, 2**40), (2**31, 2**31, 2**31)):
            for device in ("cpu", "meta"):
                with pytest.raises((ValueError, MemoryError), match=r"\[\w+\] expected|memory"):
                    rv.zeros(*shape, device=device)
        with pytest.raises(MemoryError, match=r"\["):
            rv.empty(2**60)

    def test_bfloat16_rounds_to_nearest_even(self):
        values = [1.0, 1.00390625, 1.01171875, 3.4e38, -0.0, np.inf, 1e-40]
        rounded = rv.zeros(len(values)).copy_(rv.tensor(values, dtype="bfloat16")).tolist()
        assert rounded[:2] == [1.0, 1.0]
        assert rounded[2] == 1.015625
        assert rounded[5] == np.inf
        assert np.isnan(rv.zeros(1).copy_(rv.tensor([np.nan], dtype="bfloat16")).item())


class TestPromotion:
    @pytest.mark.parametrize("a", DTYPES)
    @pytest.mark.parametrize("b", DTYPES)
    def test_two_tensors(self, a, b):
        expected = PROMOTION[a].split()[DTYPES.index(b)]
        code = _core.promote(getattr(rv, a).code, getattr(rv, b).code)
        assert DTYPES[code] == expected

    @pytest.mark.external
    @pytest.mark.parametrize("a", DTYPES)
    @pytest.mark.parametrize("b", DTYPES)
    def test_as_pytorch(self, a, b):
        torch = pytest.importorskip("torch")
        expected = torch.promote_types(getattr(torch, a), getattr(torch, b))
        assert PROMOTION[a].split()[DTYPES.index(b)] == str(expected).removeprefix("torch.")

    @pytest.mark.parametrize(
        ("dtype", "number", "expected"),
        [
            ("float32", 2.5, "float32"),
            ("float64", 2.5, "float64"),
            ("float32", 2, "float32"),
            ("float32", True, "float32"),
            ("int64", 2, "int64"),
            ("int32", 2, "int32"),
            ("uint8", 2, "uint8"),
            ("int64", 2.5, "float32"),
            ("bool", 2, "int64"),
            ("bool", 2.5, "float32"),
            ("float64", np.float32(2.5), "float64"),
            ("float32", np.float64(2.5), "float32"),
            ("int64", np.float32(2.5), "float32"),
            ("int32", np.int64(2), "int32"),
            ("int64", np.True_, "int64"),
            ("uint8", np.True_, "uint8"),
            ("float64", np.True_, "float64"),
            ("int64", np.array(True), "int64"),
            ("int64", np.array(2), "int64"),
            ("int64", Fraction(1, 2), "float32"),
        ],
    )
    def test_numbers_are_weak(self, dtype, number, expected):
        for result in (rv.ones(2, dtype=dtype) + number, number + rv.ones(2, dtype=dtype)):
            assert result.dtype.name == expected
            assert result.tolist() == [1 + number] * 2

    def test_numbers_of_numpy_where_no_operand_is_expected(self):
        x = rv.tensor([1, 2, 3])
        assert x.clip(np.float32(1.5)).tolist() == [1.5, 2.0, 3.0]
        assert x.clip(np.int64(2)).dtype.name == "int64"
        assert x.clip(rv.tensor(2.5)).tolist() == [2.5, 2.5, 3.0]
        kinds = {"bool": [True, np.True_], "int64": [2, np.int32(2), 2**60 + 1]}
        kinds["float32"] = [2.0, np.float32(2.0), Fraction(1, 2)]
        for kind, values in kinds.items():
            for value in values:
                chosen = rv.where(x > 2, value, value)
                assert chosen.dtype.name == kind
                assert chosen.tolist() == [value] * 3
        y = rv.tensor([1.0, 2.0, 3.0])
        assert y.scatter(0, rv.tensor([0]), np.float32(1.5)).tolist() == [1.5, 2.0, 3.0]
        assert y.norm(np.int64(1)).item() == 6.0
        assert rv.root(rv.tensor([8.0]), np.int64(3)).tolist() == [2.0]

    @pytest.mark.parametrize("wrong", [np.ones(1), np.ones((1, 1)), np.complex64(1), 1j, "1"])
    def test_what_is_no_single_real_number(self, wrong):
        with pytest.raises(TypeError, match=r"^\[add\] expected a tensor or a number, got "):
            rv.tensor([1, 2]) + wrong

    def test_a_tensor_without_axes_is_weak(self):
        """As in PyTorch: beside a tensor with axes it only decides the kind of number."""
        expected = {
            "float32": "float32 float32 float32 float32 float32",
            "float64": "float64 float64 float64 float64 float64",
            "int64": "float32 float64 int64 int64 int64",
            "uint8": "float32 float64 uint8 uint8 uint8",
            "bool": "float32 float64 int64 int32 bool",
        }
        singles = ("float32", "float64", "int64", "int32", "bool")
        for dtype, results in expected.items():
            for single, result in zip(singles, results.split(), strict=True):
                x, s = rv.ones(2, dtype=dtype), rv.ones((), dtype=single)
                for y in (x * s, s * x):
                    assert y.dtype.name == result, (dtype, single)
                assert (s * s).dtype.name == single

    def test_a_weak_tensor_gets_its_gradient(self):
        x = rv.tensor([1.0, 2.0], requires_grad=True)
        s = rv.tensor(3.0, dtype="float64", requires_grad=True)
        (x * s).sum().backward()
        assert x.grad.dtype.name == "float32"
        assert s.grad.dtype.name == "float64"
        assert s.grad.item() == 3.0

    def test_division_of_whole_numbers_gives_real_ones(self):
        y = rv.tensor([1, 2]) / rv.tensor([2, 2])
        assert y.dtype == rv.float32
        assert y.tolist() == [0.5, 1.0]

    def test_large_whole_numbers_stay_exact(self):
        assert (rv.tensor([2**60]) + 1).item() == 2**60 + 1


class TestNumPy:
    @pytest.mark.parametrize("dtype", NUMPY_DTYPES)
    def test_memory_is_shared_both_ways(self, dtype):
        a = np.zeros((2, 3), dtype)
        t = rv.from_numpy(a)
        a[1, 2] = 1
        assert t.tolist()[1][2] == 1
        t.fill_(1)
        assert (a == 1).all()
        assert np.shares_memory(t.numpy(), a)
        t.numpy()[0, 0] = 0
        assert a[0, 0] == 0

    @pytest.mark.parametrize(
        "view",
        [
            lambda a: a,
            lambda a: a.T,
            lambda a: a[::2],
            lambda a: a[:, ::-1],
            lambda a: a[::-2, 1:],
            lambda a: a[:, :0],
            lambda a: a[1:2, 2:3].reshape(()),
            lambda a: a[None, :, None],
        ],
    )
    def test_any_view_is_shared(self, view):
        a = np.arange(12, dtype=np.float64).reshape(4, 3)
        part = view(a)
        t = rv.from_numpy(part)
        np.testing.assert_array_equal(t.numpy(), part)
        t.fill_(-1.0)
        assert (part == -1.0).all()
        assert (a == -1.0).sum() == part.size

    @given(hnp.arrays(st.sampled_from(["<f4", "<f8", "<i8", "u1", "?"]),
                      hnp.array_shapes(min_dims=0, max_dims=5, max_side=4)))  # fmt: skip
    def test_values_survive_the_round_trip(self, a):
        back = rv.tensor(a).numpy()
        assert back.dtype == a.dtype
        assert back.tobytes() == a.tobytes()

    def test_an_array_outlives_its_tensor_and_the_other_way_round(self):
        t = rv.ones(1000)
        a = t.numpy()
        del t
        gc.collect()
        assert a.sum() == 1000.0
        source = np.ones(1000, np.float32)
        alive = weakref.ref(source)
        t = rv.from_numpy(source)
        del source
        gc.collect()
        assert alive() is not None
        del t, a
        gc.collect()
        assert alive() is None

    def test_asarray_and_operators_with_arrays(self):
        t = rv.tensor([1.0, 2.0])
        assert np.asarray(t).tolist() == [1.0, 2.0]
        assert np.asarray(t, dtype=np.float64).dtype == np.float64
        assert np.array(t) is not t.numpy()
        for wrong in (lambda: np.ones(2) + t, lambda: t * np.ones(2), lambda: t == np.ones(2)):
            with pytest.raises(TypeError, match=r"expected a tensor or a number, got .*ndarray"):
                wrong()

    def test_what_cannot_be_shared(self):
        a = np.ones(3)
        a.flags.writeable = False
        with pytest.raises(ValueError, match=r"\[from_numpy\] expected a writable.*rv.tensor"):
            rv.from_numpy(a)
        assert rv.tensor(a).tolist() == [1.0, 1.0, 1.0]  # a copy needs no writable source
        with pytest.raises(TypeError, match="expected"):
            rv.from_numpy([1.0])
        with pytest.raises(TypeError, match="expected"):
            rv.from_numpy(np.ones(2, np.int16))
        for strange in (np.ones(2, ">f4"), np.ones((2, 3), "f4,f4")["f0"]):
            try:
                shared = rv.from_numpy(strange)
            except (TypeError, ValueError, BufferError):
                continue
            assert shared.tolist() == strange.tolist()

    def test_bfloat16_has_no_numpy(self):
        with pytest.raises(TypeError, match=r"bfloat16.*\.to\(rv\.float32\)"):
            rv.ones(2, dtype="bfloat16").numpy()

    def test_fields_of_records(self):
        records = np.zeros(4, dtype=[("a", "u1"), ("b", "f4")])
        records["b"] = [1, 2, 3, 4]
        assert rv.tensor(records["b"]).tolist() == [1, 2, 3, 4]
        with pytest.raises(ValueError, match=r"\[from_numpy\] expected aligned .*rv.tensor"):
            rv.from_numpy(records["b"])

    def test_the_other_byte_order(self):
        a = np.arange(3, dtype="f4").astype(">f4")
        assert rv.tensor(a).tolist() == [0, 1, 2]
        with pytest.raises(ValueError, match=r"\[from_numpy\] expected .*byte order"):
            rv.from_numpy(a)

    def test_not_aligned(self):
        a = np.frombuffer(bytearray(13), np.uint8)[1:].view(np.float32)
        a[:] = [1, 2, 3]
        assert rv.tensor(a).tolist() == [1, 2, 3]
        with pytest.raises(ValueError, match=r"\[from_numpy\] expected aligned"):
            rv.from_numpy(a)


class TestDLPack:
    @pytest.mark.parametrize("dtype", [d for d in NUMPY_DTYPES if d != "bool"])
    def test_numpy_both_ways(self, dtype):
        a = np.arange(6).astype(dtype).reshape(2, 3).T
        t = rv.from_dlpack(a)
        a[0, 0] = 9
        assert t.tolist()[0][0] == 9
        back = np.from_dlpack(t)
        assert np.shares_memory(a, back)
        np.testing.assert_array_equal(back, a)

    def test_the_device_is_told(self):
        assert rv.ones(2).__dlpack_device__() == (1, 0)

    def test_what_has_no_dlpack(self):
        with pytest.raises(TypeError, match=r"\[from_dlpack\] expected .*got list"):
            rv.from_dlpack([1.0])

    @pytest.mark.external
    @pytest.mark.parametrize("dtype", DTYPES)
    def test_torch_both_ways(self, dtype):
        torch = pytest.importorskip("torch")
        theirs = torch.arange(6).reshape(2, 3).to(getattr(torch, dtype))
        ours = rv.from_dlpack(theirs.T)
        assert ours.dtype.name == dtype
        assert ours.shape == (3, 2)
        theirs.fill_(0)
        assert not rv.zeros(3, 2).copy_(ours).numpy().any()
        back = torch.from_dlpack(ours)
        assert back.dtype == theirs.dtype
        assert back.data_ptr() == theirs.data_ptr()

    @pytest.mark.external
    def test_torch_outlives_us(self):
        torch = pytest.importorskip("torch")
        t = rv.ones(1000)
        theirs = torch.from_dlpack(t)
        del t
        gc.collect()
        assert theirs.sum().item() == 1000.0


class TestReading:
    def test_item(self):
        assert isinstance(rv.tensor([[1.5]]).item(), float)
        assert isinstance(rv.tensor(3).item(), int)
        assert rv.tensor(True).item() is True
        assert rv.tensor([1.5], dtype="bfloat16").item() == 1.5
        with pytest.raises(ValueError, match=r"\[item\] expected a tensor of one element.*\(2,\)"):
            rv.ones(2).item()

    def test_conversions(self):
        assert float(rv.tensor(2.5)) == 2.5
        assert int(rv.tensor([7])) == 7
        assert [10, 20, 30][rv.tensor(1)] == 20
        assert bool(rv.tensor(0.0)) is False
        assert f"{rv.tensor(1.23456):.2f}" == "1.23"
        with pytest.raises(ValueError, match=r"\[bool\].*any.*all"):
            bool(rv.ones(2))
        with pytest.raises(TypeError, match=r"\[index\] expected an integer"):
            _ = [1, 2][rv.tensor(1.0)]
        assert len(rv.zeros(3, 2)) == 3
        with pytest.raises(TypeError, match="scalar"):
            len(rv.tensor(1.0))

    def test_the_picture(self):
        assert repr(rv.tensor([1.0, 2.0])) == "tensor([1., 2.])"
        assert "float64" in repr(rv.ones(1, dtype="float64"))
        assert "requires_grad=True" in repr(rv.ones(1, requires_grad=True))
        assert "meta" in repr(rv.ones(2, 3, device="meta"))
        assert "bfloat16" in repr(rv.ones(1, dtype="bfloat16"))
        assert len(repr(rv.zeros(1000, 1000))) < 2000

    def test_list_of_bfloat16(self):
        assert rv.tensor([[1.5], [2.0]], dtype="bfloat16").tolist() == [[1.5], [2.0]]

    def test_shallow_copies_keep_their_class(self):
        weight = rv.nn.Parameter(rv.ones(2), requires_grad=False)
        again = copy.copy(weight)
        assert type(again) is rv.nn.Parameter
        assert not again.requires_grad
        assert again.data is weight.data
        assert not copy.copy(rv.nn.Buffer(rv.ones(1), persistent=False)).persistent

    @pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
    def test_text_of_a_broadcast_tensor(self, dtype):
        """Also of one whose elements no memory would hold."""
        x = rv.tensor([1.0, 2.0, 3.0], dtype=dtype)
        text = repr(x.expand(2**60, 3))
        assert text == repr(x.expand(2000, 3))
        assert text.count("[1., 2., 3.]") == 6
        assert repr(rv.tensor([1.5], dtype=dtype).expand(2**62)).count("1.5") == 6
        assert repr(x.expand(2, 3)) == repr(x.expand(2, 3).contiguous())
        with np.printoptions(threshold=5000):
            assert repr(rv.zeros(1).expand(3000)).count("0.") == 3000

    def test_what_it_is(self):
        t = rv.zeros(2, 3, 4)
        assert (t.shape, t.ndim, t.size, t.strides) == ((2, 3, 4), 3, 24, (12, 4, 1))
        assert str(t.device) == "cpu"
        assert t.device == "cpu"
        assert t.device == rv.device("cpu")


class TestViews:
    def test_transpose_permute_and_expand_share_memory(self):
        x = rv.tensor(np.arange(6, dtype=np.float32).reshape(2, 3))
        views = [x.T, x.transpose(0, 1), x.permute(1, 0), x.reshape(3, 2), x[None]]
        views.append(x.expand(4, 2, 3))
        x.fill_(7.0)
        for view in views:
            assert (view.numpy() == 7.0).all()
        assert x.T.shape == (3, 2)
        assert x.expand(4, 2, 3).strides[0] == 0

    def test_a_reshape_that_cannot_be_a_view_copies(self):
        x = rv.tensor(np.arange(6, dtype=np.float32).reshape(2, 3))
        flat = x.T.reshape(6)
        assert flat.tolist() == [0, 3, 1, 4, 2, 5]
        x.fill_(7.0)
        assert flat.tolist() == [0, 3, 1, 4, 2, 5]

    def test_one_size_may_be_left_open(self):
        x = rv.zeros(2, 3, 4)
        assert x.reshape(-1).shape == (24,)
        assert x.reshape(2, -1).shape == (2, 12)
        assert x.reshape((4, -1, 2)).shape == (4, 3, 2)
        assert x.flatten(1).shape == (2, 12)
        assert rv.zeros(0, 3).reshape(0, 3, 1).shape == (0, 3, 1)
        for bad in ((5, 5), (-1, -1), (7, -1)):
            with pytest.raises(ValueError, match=r"\[reshape\] expected"):
                x.reshape(*bad)

    def test_wrong_axes(self):
        x = rv.zeros(2, 3)
        with pytest.raises(IndexError, match="expected"):
            x.transpose(0, 2)
        with pytest.raises((ValueError, IndexError), match="expected"):
            x.permute(0, 0)
        with pytest.raises(ValueError, match="expected"):
            x.permute(0)
        with pytest.raises(ValueError, match="expected"):
            x.expand(2, 4)

    def test_gradients_flow_through_views(self):
        x = rv.tensor(np.arange(6, dtype=np.float32).reshape(2, 3), requires_grad=True)
        weight = rv.tensor(np.arange(6, dtype=np.float32))
        (x.T.reshape(6) * weight).sum().backward()
        assert x.grad.tolist() == [[0.0, 2.0, 4.0], [1.0, 3.0, 5.0]]
        x.grad = None
        (x[:, 1].expand(4, 2) * 1.0).sum().backward()
        assert x.grad.tolist() == [[0.0, 4.0, 0.0], [0.0, 4.0, 0.0]]
        x.grad = None
        (x.unsqueeze(1).permute(2, 0, 1).squeeze(2) * 3.0).sum().backward()
        assert (x.grad.numpy() == 3.0).all()


class TestInPlace:
    def test_copy_broadcasts_and_converts(self):
        t = rv.zeros(2, 3)
        assert t.copy_(rv.tensor([1, 2, 3])) is t
        assert t.tolist() == [[1.0, 2.0, 3.0]] * 2
        t.copy_(np.full((2, 1), 5.0))
        assert (t.numpy() == 5.0).all()
        t.copy_(2)
        assert (t.numpy() == 2.0).all()
        with pytest.raises(ValueError, match="expected"):
            t.copy_(rv.zeros(4))

    def test_overlapping_memory(self):
        t = rv.arange(5)
        t.copy_(t[::-1])
        assert t.tolist() == [4, 3, 2, 1, 0]
        t[1:] = t[:-1]
        assert t.tolist() == [4, 4, 3, 2, 1]

    def test_operands_that_overlap_the_target(self):
        for n in (5, 100):
            a = np.arange(n * n, dtype=np.float32).reshape(n, n)
            x, y = rv.tensor(a), rv.tensor(a)
            x += x.T
            np.testing.assert_array_equal(x.numpy(), a + a.T)
            z = rv.tensor(a)
            z[rv.arange(n)] = z.T
            np.testing.assert_array_equal(z.numpy(), a.T)
            tail = y[1:]
            tail -= y[:-1]
            np.testing.assert_array_equal(y[1:].numpy(), a[1:] - a[:-1])

    def test_a_target_with_shared_places_is_refused(self):
        row = rv.zeros(3)
        many = row.expand(4, 3)
        for write in (
            lambda: many.copy_(rv.ones(4, 3)),
            lambda: many.fill_(1.0),
            lambda: many.__iadd__(1.0),
            lambda: many.__setitem__((slice(None), 0), 1.0),
            lambda: many.__setitem__(rv.tensor([0, 1]), 1.0),
        ):
            with pytest.raises(ValueError, match=r"expected a target .*clone"):
                write()
        assert row.tolist() == [0.0, 0.0, 0.0]

    def test_operators(self):
        t = rv.tensor([4.0, 8.0])
        same = t
        t += 1.0
        t *= rv.tensor([2.0, 1.0])
        t -= 2
        t /= 4.0
        assert t is same
        assert t.tolist() == [2.0, 1.75]

    def test_a_result_that_does_not_fit_is_refused(self):
        t = rv.tensor([1, 2])
        with pytest.raises(TypeError, match="expected"):
            t += 0.5
        with pytest.raises(TypeError, match="expected"):
            t /= 2
        x = rv.zeros(3)
        with pytest.raises(ValueError, match="expected"):
            x += rv.zeros(2, 3)
        assert t.tolist() == [1, 2]

    def test_with_itself(self):
        t = rv.tensor([1.0, 2.0])
        t += t
        assert t.tolist() == [2.0, 4.0]


class TestMeta:
    def test_shapes_without_memory(self):
        before = _core.memory_stats()[0]
        x = rv.zeros(1000, 1000, 1000, device="meta")
        y = (x + 1.0) * rv.ones(1000, device="meta")
        assert y.shape == (1000, 1000, 1000)
        assert str(y.device) == "meta"
        assert _core.memory_stats()[0] == before

    def test_values_are_refused(self):
        x = rv.zeros(1, device="meta")
        for read in (x.numpy, x.item, lambda: float(x), lambda: bool(x)):
            with pytest.raises(TypeError, match="meta"):
                read()

    def test_devices_do_not_mix(self):
        with pytest.raises(TypeError, match=r"cpu.*meta|meta.*cpu"):
            _ = rv.zeros(2) + rv.zeros(2, device="meta")

    def test_errors_are_those_of_the_cpu(self):
        with pytest.raises(ValueError, match=r"\[add\] expected"):
            _ = rv.zeros(2, device="meta") + rv.zeros(3, device="meta")


class TestDevices:
    def test_names(self):
        assert str(rv.device("cpu")) == "cpu"
        assert str(rv.device("cuda:1")) == "cuda:1"
        assert rv.device("cuda") == rv.device("cuda:0")
        assert str(rv.device("auto")) in ("cpu", "cuda:0")
        for wrong in ("gpu", "cpu:1", "cuda:", "cuda:x", "", 3):
            with pytest.raises(TypeError, match=r"\[device\] expected"):
                rv.device(wrong)

    def test_to_changes_dtype_and_device(self):
        x = rv.tensor([1.5, -2.5])
        assert x.to("cpu") is x
        assert x.to(rv.float32) is x
        assert x.to(rv.int64).tolist() == [1, -2]
        assert x.to("float64").dtype == rv.float64
        assert x.to("meta").shape == (2,)
        assert x.to(dtype=rv.bool).tolist() == [True, True]

    def test_gradients_flow_through_to(self):
        x = rv.tensor([1.5, -2.5], requires_grad=True)
        (x.to(rv.float64) * 2.0).sum().backward()
        assert x.grad.dtype == rv.float32
        assert x.grad.tolist() == [2.0, 2.0]


class TestCopies:
    def test_deepcopy(self):
        x = rv.ones(2, requires_grad=True)
        (x * 3.0).backward(rv.ones(2))
        y = copy.deepcopy(x)
        y.grad.fill_(0.0)
        with rv.no_grad():
            y.fill_(5.0)
        assert x.tolist() == [1.0, 1.0]
        assert x.grad.tolist() == [3.0, 3.0]
        assert y.requires_grad
        with pytest.raises(RuntimeError, match="detach"):
            copy.deepcopy(x * 2.0)

    @pytest.mark.parametrize("dtype", DTYPES)
    def test_pickling_in_memory(self, dtype):
        x = rv.ones(2, 3, dtype=dtype)
        y = pickle.loads(pickle.dumps(x))
        assert (y.shape, y.dtype, y.requires_grad) == (x.shape, x.dtype, False)
        assert y.to(rv.float32).tolist() == [[1.0] * 3] * 2

    def test_pickling_keeps_requires_grad(self):
        assert pickle.loads(pickle.dumps(rv.ones(1, requires_grad=True))).requires_grad


def test_every_op_is_also_at_the_front_door():
    import ranvier.functional as F

    assert rv.matmul is F.matmul
    assert rv.einsum is F.einsum
    assert {"cat", "topk", "tensor", "save"} <= set(dir(rv))
    assert rv.bool is not F.to  # what the package defines itself comes first
    with pytest.raises(AttributeError, match="no attribute 'no_such_op'"):
        rv.no_such_op  # noqa: B018


def test_memory_is_given_back():
    gc.collect()
    before = _core.memory_stats()[0]
    for _ in range(100):
        x = rv.zeros(1000, requires_grad=True)
        (x * x + x).backward(rv.ones(1000))
    del x
    gc.collect()
    assert _core.memory_stats()[0] == before

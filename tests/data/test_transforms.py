import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranvier.data import SampleRandom, digits
from ranvier.data import transforms as T
from ranvier.data.affine import affine_resample, resize

RNG = np.random.default_rng(0)


def random(n=6, epoch=0):
    return SampleRandom(0, epoch, np.arange(n) * 7)


def pictures(n=6, c=2, h=9, w=7, dtype=np.float32):
    return np.random.default_rng(n + c + h + w).random((n, c, h, w)).astype(dtype)


RANDOM = [
    T.RandomAffine(degrees=20, translate=0.2, scale=(0.8, 1.3), shear=10),
    T.RandomAffine(degrees=(5, 9), translate=2, fill=(0.5, -1)),
    T.RandomShift(2),
    T.RandomShift(0.3, fill=1.0),
    T.RandomRotation(30),
    T.RandomHorizontalFlip(),
    T.RandomCrop((6, 5), padding=2, fill=0.25),
    T.Cutout(4),
    T.Cutout((2, 3), fill=0.5, p=0.5),
    T.Compose([T.RandomShift(1), T.RandomRotation(10), T.Cutout(2)]),
]
FIXED = [T.Scale(2, -1), T.Normalize(0.5, (2, 3)), T.Pad(1), T.Resize((5, 12)), T.Lambda(np.sqrt)]


@pytest.mark.parametrize("transform", RANDOM + FIXED, ids=repr)
def test_input_untouched_and_samples_alone_get_the_same_bits(transform):
    x = pictures()
    before = x.copy()
    together = transform(x, random())
    assert np.array_equal(x, before)
    assert together.dtype == np.float32
    for i in range(len(x)):
        alone = transform(x[i : i + 1], SampleRandom(0, 0, [i * 7]))
        assert alone.tobytes() == together[i : i + 1].tobytes()
    order = np.array([4, 0, 5, 2])
    some = transform(x[order], SampleRandom(0, 0, order * 7))
    assert some.tobytes() == together[order].tobytes()
    together += 1  # a result of its own, also where nothing was to be done
    assert np.array_equal(x, before)


@pytest.mark.parametrize("transform", RANDOM, ids=repr)
def test_epochs_differ_and_empty_batches_pass(transform):
    x = pictures(40)
    first = transform(x, random(40))
    assert not np.array_equal(first, transform(x, random(40, epoch=1)))
    assert np.array_equal(first, transform(x, random(40)))
    empty = transform(x[:0], random(0))
    assert empty.shape == (0, *first.shape[1:])


@pytest.mark.parametrize("transform", [*RANDOM[:6], RANDOM[7]], ids=repr)
def test_non_contiguous_and_double_precision(transform):
    x = pictures(dtype=np.float64)
    expected = transform(x, random())
    assert expected.dtype == np.float64
    strided = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    assert np.array_equal(transform(strided, random()), expected)


def test_labels_can_be_moved_as_their_image_was():
    x = pictures(c=2)
    draw = random()
    moved = RANDOM[0](x, draw)
    assert np.array_equal(RANDOM[0](x[:, :1], draw.restart()), moved[:, :1])


# ------------------------------------------------------------------------------- affine resampling


@pytest.mark.parametrize("shape", [(3, 2, 9, 7), (2, 1, 1, 6), (2, 3, 5, 1), (1, 1, 33, 32)])
def test_resampling_against_scipy(shape):
    ndimage = pytest.importorskip("scipy.ndimage")
    x = pictures(*shape, dtype=np.float64)
    rng = np.random.default_rng(1)
    inverse = np.eye(2) + rng.normal(size=(shape[0], 2, 2)) * 0.4
    offset = rng.normal(size=(shape[0], 2)) * 2
    got = affine_resample(x, inverse, offset, 0.3)
    middle = (np.array(shape[2:]) - 1) / 2
    for n in range(shape[0]):
        matrix = inverse[n][::-1, ::-1]  # SciPy counts (row, column)
        shift = middle + offset[n][::-1] - matrix @ middle
        for c in range(shape[1]):
            expected = ndimage.affine_transform(
                x[n, c], matrix, shift, order=1, mode="grid-constant", cval=0.3
            )
            np.testing.assert_allclose(got[n, c], expected, rtol=0, atol=1e-12)


def test_resampling_chunks_do_not_show(monkeypatch):
    x = pictures(50, 1, 8, 8)
    whole = RANDOM[0](x, random(50))
    monkeypatch.setattr("ranvier.data.affine._CHUNK_PIXELS", 200)
    assert RANDOM[0](x, random(50)).tobytes() == whole.tobytes()


def test_identity_is_exact():
    x = pictures(4, 3, 32, 31)
    assert T.RandomAffine()(x, random(4)).tobytes() == x.tobytes()
    assert T.RandomAffine(scale=(1, 1))(x, random(4)).tobytes() == x.tobytes()


def test_whole_shifts_copy_pixels():
    x = pictures(200, 1, 6, 8) + 1
    draw = random(200)
    moved = T.RandomShift(2, fill=-7.0)(x, draw)
    draw = draw.restart()
    draw.uniform()  # the angle
    across, down = draw.integers(-2, 3), draw.integers(-2, 3)
    assert set(zip(across.tolist(), down.tolist(), strict=True)) == {
        (i, j) for i in range(-2, 3) for j in range(-2, 3)
    }
    padded = np.pad(x, ((0, 0), (0, 0), (2, 2), (2, 2)), constant_values=-7.0)
    for i in range(200):
        top, left = 2 - down[i], 2 - across[i]
        assert np.array_equal(moved[i, 0], padded[i, 0, top : top + 6, left : left + 8])


def test_fractional_shift_stays_within_its_range():
    x = np.zeros((500, 1, 21, 41))
    x[:, :, 10, 20] = 1
    moved = T.RandomShift(0.1)(x, random(500))
    assert np.allclose(moved.sum((1, 2, 3)), 1)  # bilinear weights of one point sum to 1
    rows = (moved[:, 0].sum(2) * np.arange(21)).sum(1) - 10
    columns = (moved[:, 0].sum(1) * np.arange(41)).sum(1) - 20
    for moves, limit in ((rows, 2.1), (columns, 4.1)):
        assert np.abs(moves).max() <= limit + 1e-9
        assert np.abs(moves).max() > 0.95 * limit
        assert abs(moves.mean()) < 4 * limit / math.sqrt(3 * 500)


def test_rotation_is_counter_clockwise():
    x = np.zeros((1, 1, 9, 9), np.float32)
    x[0, 0, 4, 8] = 1  # right
    turned = T.RandomRotation((90, 90))(x, random(1))
    assert np.unravel_index(turned.argmax(), turned.shape)[2:] == (0, 4)  # top
    assert turned.max() == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(
        T.RandomRotation((90, 90))(pictures(2, 2, 8, 8), random(2)),
        np.rot90(pictures(2, 2, 8, 8), 1, (2, 3)),
        atol=1e-5,
    )


def test_scale_and_shear():
    x = np.zeros((1, 1, 21, 21))
    x[0, 0, 10, 14] = x[0, 0, 14, 10] = 1
    twice = T.RandomAffine(scale=(2, 2))(x, random(1))
    assert twice[0, 0, 10, 18] == pytest.approx(1)
    assert twice[0, 0, 18, 10] == pytest.approx(1)
    # Sheared by t: a point v below the middle goes t * v to the side, all by the same angle here.
    draw = random(200)
    sheared = T.RandomAffine(shear=30)(np.repeat(x, 200, 0), draw)
    column = (sheared[:, 0, 14] * np.arange(21)).sum(1) - 10
    assert np.abs(column).max() <= 4 * math.tan(math.radians(30)) + 1e-9
    assert np.abs(column).max() > 4 * math.tan(math.radians(25))
    assert np.allclose(sheared[:, 0, 10, 14], 1)  # the middle row stays


def test_the_map_is_shear_then_scale_then_turn_then_shift(monkeypatch):
    got = {}
    monkeypatch.setattr(
        T, "affine_resample", lambda x, a, b, fill: got.update(inverse=a, offset=b) or x
    )
    draw = random(50)
    T.RandomAffine(degrees=40, translate=0.2, scale=(0.7, 1.4), shear=25)(
        pictures(50, 1, 10, 20), draw
    )
    draw = draw.restart()
    angle = np.radians(draw.uniform(-40, 40))
    shift = np.stack([draw.uniform(-4, 4), draw.uniform(-2, 2)], 1)
    size = draw.uniform(0.7, 1.4)
    tan = np.tan(np.radians(draw.uniform(-25, 25)))
    for i in range(50):
        shear = np.array([[1, tan[i]], [0, 1]])
        turn = np.array(
            [[np.cos(angle[i]), np.sin(angle[i])], [-np.sin(angle[i]), np.cos(angle[i])]]
        )
        forward = turn @ (size[i] * shear)
        point = np.array([3.0, -2.0])
        where = forward @ point + shift[i]
        np.testing.assert_allclose(got["inverse"][i] @ where + got["offset"][i], point, atol=1e-12)


def test_inverse_undoes_forward():
    # A smooth picture, turned and turned back, is itself away from the border.
    v, u = np.mgrid[0:32, 0:32] / 31
    x = (np.sin(5 * u) * np.cos(4 * v))[None, None]
    back = T.RandomRotation((-25, -25))(T.RandomRotation((25, 25))(x, random(1)), random(1))
    assert np.abs(back - x)[..., 8:24, 8:24].max() < 0.01


def test_fill_per_channel():
    x = np.ones((3, 2, 4, 4), np.float32)
    out = T.RandomAffine(translate=9, fill=(2.0, 3.0))(x, SampleRandom(0, 0, np.arange(3)))
    assert set(np.unique(out[:, 0])) <= {1.0, 2.0}
    assert set(np.unique(out[:, 1])) <= {1.0, 3.0}
    assert (out[:, 0] == 2).any()


# ------------------------------------------------------------------------------------------ resize


@given(
    st.integers(1, 12), st.integers(1, 12), st.integers(1, 30), st.integers(1, 30), st.booleans()
)
def test_resize_against_the_definition(h, w, rows, columns, nearest):
    x = pictures(1, 1, h, w, np.float64)
    got = resize(x, (rows, columns), "nearest" if nearest else "bilinear")
    expected = np.empty((rows, columns))
    for i in range(rows):
        for j in range(columns):
            if nearest:
                expected[i, j] = x[0, 0, i * h // rows, j * w // columns]
                continue
            v = min(max((i + 0.5) * h / rows - 0.5, 0), h - 1)
            u = min(max((j + 0.5) * w / columns - 0.5, 0), w - 1)
            v0, u0 = int(v), int(u)
            v1, u1 = min(v0 + 1, h - 1), min(u0 + 1, w - 1)
            top = x[0, 0, v0, u0] * (1 - u + u0) + x[0, 0, v0, u1] * (u - u0)
            bottom = x[0, 0, v1, u0] * (1 - u + u0) + x[0, 0, v1, u1] * (u - u0)
            expected[i, j] = top * (1 - v + v0) + bottom * (v - v0)
    np.testing.assert_allclose(got[0, 0], expected, rtol=0, atol=1e-12)


@pytest.mark.external
@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
def test_resize_against_pytorch(mode):
    torch = pytest.importorskip("torch")
    x = pictures(2, 3, 8, 11)
    options = {"align_corners": False} if mode == "bilinear" else {}
    for size in [(32, 32), (8, 11), (5, 7), (1, 1), (16, 3), (28, 44)]:
        expected = torch.nn.functional.interpolate(
            torch.from_numpy(x), size=size, mode=mode, **options
        ).numpy()
        # PyTorch has the place in float32: two roundings of up to 11, times a slope of up to 1,
        # along two axes.
        bound = 4 * 11 * 2.0**-24 if mode == "bilinear" else 0
        got = T.Resize(size, mode)(x, random(2))
        np.testing.assert_allclose(got, expected, rtol=0, atol=bound)


def test_resize_keeps_constants_and_bytes():
    x = np.full((2, 1, 8, 8), 0.7, np.float32)
    assert np.array_equal(T.Resize(32)(x, random(2)), np.full((2, 1, 32, 32), 0.7, np.float32))
    same = T.Resize(8)(x, random(2))
    assert np.array_equal(same, x)
    assert not np.shares_memory(same, x)
    labels = RNG.integers(0, 200, (2, 1, 4, 4), dtype=np.uint8)
    big = T.Resize(8, "nearest")(labels, random(2))
    assert big.dtype == np.uint8
    assert np.array_equal(big[:, :, ::2, ::2], labels)


# ------------------------------------------------------------------------------------- the others


def test_scale_and_normalize():
    x = RNG.integers(0, 256, (2, 3, 4, 4), dtype=np.uint8)
    scaled = T.Scale()(x, random(2))
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled, x / 255, rtol=2e-7)
    assert T.Scale(2, -1)(np.array([[[[0.0, 1.0]]]]), random(1)).tolist() == [[[[-1, 1]]]]
    mean, std = (0.1, 0.2, 0.3), (1.0, 2.0, 4.0)
    out = T.Normalize(mean, std)(scaled, random(2))
    expected = (scaled - np.array(mean)[:, None, None]) / np.array(std)[:, None, None]
    np.testing.assert_allclose(out, expected, atol=1e-6)
    assert T.Normalize([0.1, 0.2, 0.3], 2).mean == mean


def test_pad():
    x = pictures(1, 1, 2, 3)
    assert T.Pad(2)(x, random(1)).shape == (1, 1, 6, 7)
    assert T.Pad((1, 2))(x, random(1)).shape == (1, 1, 4, 7)
    out = T.Pad((1, 0, 2, 0), fill=5.0)(x, random(1))
    assert out.shape == (1, 1, 3, 5)
    assert (out[0, 0, 0] == 5).all()
    assert (out[0, 0, :, :2] == 5).all()
    assert np.array_equal(out[:, :, 1:, 2:], x)
    assert T.Pad(1, mode="reflect")(x, random(1))[0, 0, 0, 0] == x[0, 0, 1, 1]


def test_flip():
    x = pictures(2000, 1, 2, 3)
    out = T.RandomHorizontalFlip(0.3)(x, random(2000))
    flipped = np.array([np.array_equal(o, i[..., ::-1]) for o, i in zip(out, x, strict=True)])
    same = np.array([np.array_equal(o, i) for o, i in zip(out, x, strict=True)])
    assert (flipped ^ same).all()
    assert abs(flipped.mean() - 0.3) < 4 * math.sqrt(0.21 / 2000)


def test_crop_takes_every_window():
    x = np.arange(12, dtype=np.float32).reshape(1, 1, 3, 4).repeat(300, 0)
    out = T.RandomCrop((2, 2))(x, random(300))
    corners = set(out[:, 0, 0, 0].astype(int).tolist())
    assert corners == {0, 1, 2, 4, 5, 6}
    for window in out[:, 0]:
        assert np.array_equal(window - window[0, 0], [[0, 1], [4, 5]])
    padded = T.RandomCrop(3, padding=1, fill=-1)(x, random(300))
    assert padded.shape == (300, 1, 3, 3)
    assert (padded == -1).any()
    with pytest.raises(ValueError, match=r"window within 3 x 4.*got 4 x 4 - enlarge padding"):
        T.RandomCrop(4)(x, random(300))


def test_cutout():
    x = np.ones((400, 2, 8, 8), np.float32)
    out = T.Cutout(3, fill=0.0)(x, random(400))
    assert np.array_equal(out[:, 0], out[:, 1])
    area = (out[:, 0] == 0).sum((1, 2))
    assert area.max() == 9
    assert area.min() == 4  # the middle is inside: at least 2 x 2 of 3 x 3
    for hole in out[:, 0] == 0:
        rows, columns = hole.any(1), hole.any(0)
        assert np.array_equal(hole, rows[:, None] & columns[None])
    half = T.Cutout(3, p=0.5)(x, random(400))
    assert 120 < (half.min((1, 2, 3)) == 1).sum() < 280


def test_compose_streams():
    x = pictures(30)
    alone = T.Compose([T.RandomShift(2)])(x, random(30))
    both = T.Compose([T.RandomShift(2), T.Scale(2)])(x, random(30))
    assert np.array_equal(alone * 2, both)
    twice = T.Compose([T.RandomHorizontalFlip(), T.RandomHorizontalFlip()])(x, random(30))
    assert not np.array_equal(twice, x)  # the two flips are independent
    assert repr(T.Compose([T.Pad(1), T.Resize(8)])) == (
        "Compose([Pad(padding=1, fill=0.0, mode='constant'), Resize(size=8, mode='bilinear')])"
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: T.Resize(0), r"\[Resize\] expected size"),
        (lambda: T.Resize((1, 2, 3)), r"\[Resize\] expected size"),
        (lambda: T.Resize(8, "cubic"), "bilinear or nearest, got 'cubic'"),
        (lambda: T.Pad(-1), r"\[Pad\]"),
        (lambda: T.Pad((1, 2, 3)), r"\[Pad\]"),
        (lambda: T.Pad(1, mode="mirror"), r"\[Pad\] expected mode"),
        (lambda: T.Normalize(0.0, 0.0), "std > 0"),
        (lambda: T.RandomAffine(degrees=-1), "degrees >= 0"),
        (lambda: T.RandomAffine(degrees=(3, 1)), r"degrees \(low, high\)"),
        (lambda: T.RandomAffine(translate=-0.1), "translate >= 0"),
        (lambda: T.RandomAffine(scale=(0, 1)), "scale"),
        (lambda: T.RandomAffine(shear=90), "shear"),
        (lambda: T.RandomHorizontalFlip(1.5), r"probability in \[0, 1\]"),
        (lambda: T.RandomCrop(8, padding=-1), "padding >= 0"),
        (lambda: T.Cutout(0), r"\[Cutout\] expected size"),
        (lambda: T.Cutout(1, p=2), "probability"),
    ],
)
def test_bad_settings(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_bad_input():
    flat = np.zeros((2, 8, 8), np.float32)
    for transform in (T.Pad(1), T.Resize(4), T.RandomShift(1), T.Cutout(1), T.RandomCrop(2)):
        with pytest.raises(ValueError, match=r"\(N, C, H, W\), got shape \(2, 8, 8\)"):
            transform(flat, random(2))
    bytes_ = np.zeros((2, 1, 8, 8), np.uint8)
    for transform in (T.Resize(4), T.RandomShift(1), T.Normalize(0, 1)):
        with pytest.raises(TypeError, match=r"float32 pictures, got uint8 - put Scale"):
            transform(bytes_, random(2))
    with pytest.raises(ValueError, match="each of the 1 channels, got 2"):
        T.RandomShift(1, fill=(0, 1))(bytes_.astype(np.float32), random(2))
    with pytest.raises(ValueError, match="each of the 1 channels, got 3"):
        T.Normalize((0, 0, 0), 1)(bytes_.astype(np.float32), random(2))
    with pytest.raises(ValueError, match="pictures with pixels"):
        T.Resize(4)(np.zeros((2, 1, 0, 8), np.float32), random(2))


def test_augmented_digits_are_still_digits():
    x, y = digits("train", size=32).arrays()
    out = T.RandomAffine(degrees=10, translate=0.05)(x, SampleRandom(0, 0, np.arange(len(x))))
    assert out.min() >= 0
    assert out.max() <= 1 + 1e-6
    # Nearest class mean tells most of them: the pictures are moved, not scrambled.
    means = np.stack([x[y == c].mean(0) for c in range(10)]).reshape(10, -1)
    distance = ((out.reshape(len(out), 1, -1) - means[None]) ** 2).sum(2)
    assert (distance.argmin(1) == y).mean() > 0.8

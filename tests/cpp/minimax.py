"""Prints the polynomial coefficients of csrc/core/simd_math.h (needs mpmath).

Each is a weighted minimax fit by the Remez exchange algorithm. Coefficients are rounded to the
format they are used in one at a time, from the lowest power up, and the others are fitted again
after each rounding, so that the stated error is that of the rounded polynomial.
"""

import itertools
from collections.abc import Callable

import mpmath as mp
from mpmath import mpf

mp.mp.prec = 160
Function = Callable[[mpf], mpf]


def remez(target: Function, weight: Function, powers: list[int], low: mpf, high: mpf) -> list[mpf]:
    """Coefficients c minimizing max |weight(x) * (target(x) - sum c[k] x**powers[k])|."""
    count = len(powers) + 1
    middle, half = (low + high) / 2, (high - low) / 2
    nodes = [middle - half * mp.cos(mp.pi * i / (count - 1)) for i in range(count)]
    grid = [middle - half * mp.cos(mp.pi * i / 2000) for i in range(2001)]
    targets = [target(x) for x in grid]
    weights = [weight(x) for x in grid]
    coefficients: list[mpf] = []
    for _ in range(30):
        rows = mp.matrix(count, count)
        right = mp.matrix(count, 1)
        for i, x in enumerate(nodes):
            for j, power in enumerate(powers):
                rows[i, j] = weight(x) * x**power
            rows[i, count - 1] = (-1) ** i
            right[i] = weight(x) * target(x)
        solution = mp.lu_solve(rows, right)
        coefficients, level = list(solution[:-1]), abs(solution[count - 1])
        error = [
            w * (t - sum(c * x**p for c, p in zip(coefficients, powers, strict=True)))
            for x, t, w in zip(grid, targets, weights, strict=True)
        ]
        # The largest error of every run of equal sign is the next set of nodes.
        extrema = [0]
        for i in range(1, len(grid)):
            if (error[i] > 0) == (error[extrema[-1]] > 0):
                if abs(error[i]) > abs(error[extrema[-1]]):
                    extrema[-1] = i
            else:
                extrema.append(i)
        while len(extrema) > count:
            extrema.pop(0 if abs(error[extrema[0]]) < abs(error[extrema[-1]]) else -1)
        if len(extrema) < count:
            break
        nodes = [grid[i] for i in extrema]
        if max(abs(e) for e in error) < level * mpf("1.0001"):
            break
    return coefficients


def fit(
    name: str,
    target: Function,
    weight: Function,
    powers: list[int],
    low: float | mpf,
    high: float | mpf,
    bits: int = 24,
) -> None:
    """Fits, rounds to `bits` of mantissa, and prints the coefficients and the error."""
    low, high = mpf(low), mpf(high)
    fixed: list[mpf] = []
    for k in range(len(powers)):
        known = list(zip(fixed, powers, strict=False))
        rest = remez(
            lambda x, known=known: target(x) - sum(c * x**p for c, p in known),
            weight,
            powers[k:],
            low,
            high,
        )
        with mp.workprec(bits):
            fixed.append(+rest[0])
    worst = max(
        abs(weight(x) * (target(x) - sum(c * x**p for c, p in zip(fixed, powers, strict=True))))
        for x in (low + (high - low) * i / 4000 for i in range(4001))
    )
    print(
        f"{name}: weighted error 2^{mp.nstr(mp.log(worst, 2), 4)} on [{mp.nstr(low, 5)}, "
        f"{mp.nstr(high, 5)}]"
    )
    for power, c in zip(powers, fixed, strict=True):
        text = float(c).hex() if bits > 24 else mp.nstr(c, 9)
        print(f"  x^{power}: {text}")


def series(x: mpf, exact: Function, terms: list[mpf]) -> mpf:
    """exact(x), or its Taylor series where exact(x) would cancel."""
    if abs(x) > mpf("1e-6"):
        return exact(x)
    return sum((c * x**k for k, c in enumerate(terms)), mpf(0))


def odd(function: Function, terms: list[mpf]) -> Function:
    """(function(x) / x - 1) / x^2 as a function of z = x^2; terms: its series in z."""
    return lambda z: series(z, lambda v: (function(mp.sqrt(v)) / mp.sqrt(v) - 1) / v, terms)


def erf_stretches() -> None:
    """Prints the columns of erf: centre c, float(erf(c)), (erf(c + r) - erf(c)) / r on a stretch.

    On the first stretch the polynomial is erf(r) / r - 1. The last column is t = 4.
    """
    edges = [k / mpf(8) for k in range(4)] + [k / mpf(4) for k in range(2, 10)]
    edges += [k / mpf(2) for k in range(5, 9)]
    for low, high in itertools.pairwise(edges):
        first = low == 0
        centre = mpf(0) if first else near_float(mp.erf, (low + high) / 2)
        value = mp.erf(centre)
        slope = 2 / mp.sqrt(mp.pi) * mp.exp(-centre * centre)
        with mp.workprec(24):
            rounded = +value
        fit(
            f"erf: c = {mp.nstr(centre, 9)}, erf(c) = {mp.nstr(rounded, 9)}",
            lambda r, c=centre, v=value, s=slope, n=first: (
                ((mp.erf(c + r) - v) / r if abs(r) > mpf("1e-20") else s) - n
            ),
            lambda r: mpf(1),
            list(range(5)),
            low - centre,
            high - centre,
        )


def tanh_stretches() -> None:
    """Prints the columns of tanh, as those of erf; stretches by 1.40625 + 0.453125 t, t <= 9.02.

    Least squares, because the exchange finds no answer for odd powers about a centre; the ends
    weigh most, so that neighbours meet and the whole increases.
    """
    marks = [k / mpf(8) for k in range(12, 16)] + [k / mpf(4) for k in range(8, 16)]
    marks += [k / mpf(2) for k in range(8, 11)]
    edges = [mpf(0), *((u - mpf("1.40625")) / mpf("0.453125") for u in marks), mpf("9.02")]
    for low, high in itertools.pairwise(edges):
        first = low == 0
        # From 6 on the function is flat: the next x that gives a float is far away.
        grid = 2.0**-16 if low < 6 else 2.0**-10
        centre = mpf(0) if first else near_float(mp.tanh, (low + high) / 2, grid)
        value = mp.tanh(centre)
        points = [
            (low + high) / 2 - (high - low) / 2 * mp.cos(mp.pi * i / 100) - centre
            for i in range(101)
        ]
        rows, right = mp.matrix(101, 6), mp.matrix(101, 1)
        for i, r in enumerate(points):
            weight = mpf(100) if i in (0, 100) else mpf(1)
            quotient = (mp.tanh(centre + r) - value) / r if r else 1 - value**2
            right[i] = weight * (quotient - first)
            for k in range(6):
                rows[i, k] = weight * r**k
        fixed: list[mpf] = []
        for k in range(6):
            rest = mp.lu_solve(rows[:, k:], right)
            with mp.workprec(24):
                fixed.append(+rest[0])
                rounded = +value
            right -= fixed[k] * rows[:, k]
        print(f"tanh: c = {mp.nstr(centre, 9)}, tanh(c) = {mp.nstr(rounded, 9)}")
        for k, c in enumerate(fixed):
            print(f"  x^{k}: {mp.nstr(c, 9)}")


def near_float(function: Function, middle: mpf, grid: float = 2.0**-16) -> mpf:
    """The x nearest to `middle`, in steps of `grid`, where the function is a float to 2^-31.

    Or, of the 400 around it, the one where it comes closest.
    """
    best = (mpf(1), middle)
    for k in range(200):
        for x in (middle + k * grid, middle - k * grid):
            value = function(x)
            with mp.workprec(24):
                rounded = +value
            error = abs(rounded - value) / value
            if error < mpf(2) ** -31:
                return x
            best = min(best, (error, x))
    return best[1]


def main() -> None:
    """Every polynomial in the order of the header."""
    factorial = mp.factorial
    ln2_half = mp.log(2) / 2 * mpf("1.001")
    fit(
        "exp: (e^r - 1 - r) / r^2",
        lambda r: series(
            r, lambda v: (mp.expm1(v) - v) / v**2, [1 / factorial(k + 2) for k in range(8)]
        ),
        lambda r: r**2 / mp.exp(r),
        [0, 1, 2, 3, 4],
        -ln2_half,
        ln2_half,
    )
    fit(
        "log: (log1p(f) - f + f^2/2) / f^3",
        lambda f: series(
            f,
            lambda v: (mp.log1p(v) - v + v * v / 2) / v**3,
            [mpf((-1) ** k) / (k + 3) for k in range(8)],
        ),
        lambda f: abs(f**3 / mp.log1p(f)) if f else mpf(0),
        list(range(9)),
        1 / mp.sqrt(2) - 1,
        mp.sqrt(2) - 1,
    )
    fit(
        "tanh: (tanh(x)/x - 1) / z, z = x^2",
        odd(mp.tanh, [mpf(-1) / 3, mpf(2) / 15, mpf(-17) / 315, mpf(62) / 2835]),
        lambda z: z * mp.sqrt(z) / mp.tanh(mp.sqrt(z)) if z else mpf(0),
        list(range(5)),
        0,
        mpf("0.63") ** 2,
    )
    tanh_stretches()
    root = 2 / mp.sqrt(mp.pi)
    fit(
        "erf, small: erf(x)/x - 1, z = x^2",
        lambda z: series(
            z,
            lambda v: mp.erf(mp.sqrt(v)) / mp.sqrt(v) - 1,
            [root - 1, -root / 3, root / 10, -root / 42],
        ),
        lambda z: mp.sqrt(z) / mp.erf(mp.sqrt(z)) if z else 1 / root,
        list(range(7)),
        0,
        1,
    )
    fit(
        "erf, large: log(erfc(t))",
        lambda t: mp.log(mp.erfc(t)),
        lambda t: mp.erfc(t) / mp.erf(t),
        list(range(7)),
        1,
        4,
    )
    erf_stretches()
    quarter = (mp.pi / 4 * mpf("1.001")) ** 2
    fit(
        "sin: (sin(r)/r - 1) / z, z = r^2",
        odd(mp.sin, [mpf((-1) ** (k + 1)) / factorial(2 * k + 3) for k in range(6)]),
        lambda z: z,
        [0, 1, 2],
        0,
        quarter,
    )
    fit(
        "cos: (cos(r) - 1 + z/2) / z^2, z = r^2",
        lambda z: series(
            z,
            lambda v: (mp.cos(mp.sqrt(v)) - 1 + v / 2) / v**2,
            [mpf((-1) ** k) / factorial(2 * k + 4) for k in range(6)],
        ),
        lambda z: z**2,
        [0, 1, 2],
        0,
        quarter,
    )
    scale = 2 / mp.log(2)
    fit(
        "pow: log2((1+s)/(1-s)) / s, z = s^2",
        lambda z: series(
            z,
            lambda v: scale * mp.atanh(mp.sqrt(v)) / mp.sqrt(v),
            [scale / (2 * k + 1) for k in range(8)],
        ),
        lambda z: 1 / scale,
        list(range(5)),
        0,
        ((mp.sqrt(2) - 1) / (mp.sqrt(2) + 1)) ** 2,
        bits=53,
    )
    fit(
        "pow: 2^r",
        lambda r: mpf(2) ** r,
        lambda r: mpf(2) ** -r,
        list(range(7)),
        mpf("-0.5"),
        mpf("0.5"),
        bits=53,
    )


if __name__ == "__main__":
    main()

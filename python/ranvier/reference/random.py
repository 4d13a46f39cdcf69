"""Philox4x32-10: random numbers by counting, bit-equal on every machine and for any thread count.

A block cipher turns a counter into random words: block b of a stream is a function of (key, b) and
of nothing else, so any element can be computed without the ones before it.

* key = (seed low, seed high), two words of the 64-bit seed;
* counter = (b low, b high, offset low, offset high): block b of the draw that began at ``offset``;
* a block holds 4 words of 32 bits; element i of a draw uses word i % 4 of block i // 4.

Source: Salmon, Moraes, Dror and Shaw, Parallel random numbers: as easy as 1, 2, 3 (2011), section
3.3 and table 2. Normals: Box and Muller, A note on the generation of random normal deviates (1958).
"""

import numpy as np

MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)  # the golden ratio and sqrt(3) - 1: what is added to the key
ROUNDS = 10
MASK = 0xFFFFFFFF


def philox4x32(counter: np.ndarray, key: tuple[int, int]) -> np.ndarray:
    """Ten rounds of multiplication, exchange and exclusive or.

    Args:
        counter: (blocks, 4) words, uint32.
        key: two words.

    Returns:
        (blocks, 4) random words, uint32.

    Example:
        >>> [hex(word) for word in philox4x32(np.zeros((1, 4), np.uint32), (0, 0))[0]]
        ['0x6627e8d5', '0xe169c58d', '0xbc57ac4c', '0x9b00dbd8']
    """
    c0, c1, c2, c3 = (counter[:, i].astype(np.uint64) for i in range(4))
    k0, k1 = key
    for _ in range(ROUNDS):
        p0, p1 = c0 * np.uint64(MULTIPLIERS[0]), c2 * np.uint64(MULTIPLIERS[1])
        c0, c1, c2, c3 = (
            (p1 >> np.uint64(32)) ^ c1 ^ np.uint64(k0),
            p1 & np.uint64(MASK),
            (p0 >> np.uint64(32)) ^ c3 ^ np.uint64(k1),
            p0 & np.uint64(MASK),
        )
        k0, k1 = (k0 + WEYL[0]) & MASK, (k1 + WEYL[1]) & MASK
    return np.stack([c0, c1, c2, c3], axis=1).astype(np.uint32)


def words(count: int, seed: int, offset: int = 0) -> np.ndarray:
    """The first ``count`` words of the draw that begins at ``offset``, uint32."""
    blocks = np.arange(-(-count // 4), dtype=np.uint64)
    counter = np.empty((len(blocks), 4), np.uint32)
    counter[:, 0] = blocks & np.uint64(MASK)
    counter[:, 1] = blocks >> np.uint64(32)
    counter[:, 2] = offset & MASK
    counter[:, 3] = (offset >> 32) & MASK
    return philox4x32(counter, (seed & MASK, (seed >> 32) & MASK)).ravel()[:count]


def uniforms(count: int, seed: int, offset: int = 0) -> np.ndarray:
    """Numbers in [0, 1), float32: the upper 24 bits of a word times 2^-24, which is exact."""
    upper = words(count, seed, offset) >> np.uint32(8)
    return upper.astype(np.float32) * np.float32(2.0**-24)


def multinomial(
    weights: np.ndarray, uniforms: np.ndarray, count: int, replacement: bool
) -> np.ndarray:
    """Positions drawn by weight, one row of weights (n,), as many uniforms as draws or weights.

    With replacement: the first whose running sum of weights exceeds u times the whole sum.
    Without: those of the largest log(1 - u_i) / w_i, in falling order, which is the same as drawing
    one after the other from what is left. Source: Efraimidis and Spirakis, Weighted random sampling
    with a reservoir (2006).
    """
    if replacement:
        sums = np.cumsum(weights, dtype=np.float64)
        return np.searchsorted(sums, uniforms * sums[-1], side="right")
    with np.errstate(divide="ignore", invalid="ignore"):
        keys = np.where(weights > 0, -np.log(1 - uniforms) / weights, np.inf)
    return np.argsort(keys, kind="stable")[:count]


def normals(count: int, seed: int, offset: int = 0) -> np.ndarray:
    """Numbers of mean 0 and standard deviation 1, float64: two from each pair of words.

    With u in (0, 1] from the first word (so that its logarithm exists) and v in [0, 1) from the
    second, r = sqrt(-2 ln u) and angle = 2 pi v give the normals r cos(angle), r sin(angle).
    """
    upper = (words(count + count % 2, seed, offset) >> np.uint32(8)).astype(np.float64)
    u, v = (upper[0::2] + 1) * 2.0**-24, upper[1::2] * 2.0**-24
    r, angle = np.sqrt(-2 * np.log(u)), 2 * np.pi * v
    return np.stack([r * np.cos(angle), r * np.sin(angle)], axis=1).ravel()[:count]

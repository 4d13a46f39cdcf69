"""Embedding: a table of vectors, looked up by index.

Source: Bengio et al., A neural probabilistic language model (2003), section 2.
"""

import numpy as np


def embedding(input: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """y[..., :] = weight[input[...], :], which equals the product of a one-hot row with the table.

    Args:
        input: indices, any shape, integers in [0, V).
        weight: (V, D), one vector a row.

    Returns:
        (..., D).
    """
    return weight[input]


def embedding_backward(
    grad: np.ndarray, input: np.ndarray, weight: np.ndarray
) -> tuple[None, np.ndarray]:
    """Each row of the table gets the sum of the gradients of all places that looked it up."""
    by_weight = np.zeros_like(weight)
    np.add.at(by_weight, input, grad)
    return None, by_weight

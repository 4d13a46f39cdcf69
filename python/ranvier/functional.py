"""Every differentiable operation, under the name and argument order that PyTorch users know.

One import line per room; nothing else lives here. Each is also there as `ranvier.NAME`.
"""

from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from ranvier.ops import index as _index
from ranvier.ops.adaptive_pool import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    adaptive_max_pool3d,
    global_avg_pool2d,
    global_max_pool2d,
)
from ranvier.ops.avg_pool import (
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    sum_pool1d,
    sum_pool2d,
    sum_pool3d,
)
from ranvier.ops.batch_norm import batch_norm
from ranvier.ops.bilinear import bilinear
from ranvier.ops.binary import (
    add,
    divide,
    log_base,
    maximum,
    minimum,
    multiply,
    power,
    root,
    subtract,
)
from ranvier.ops.clip import clamp, clip
from ranvier.ops.compare import (
    equal,
    greater,
    greater_equal,
    isfinite,
    isnan,
    less,
    less_equal,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    not_equal,
)
from ranvier.ops.concat import cat, chunk, concat, split, stack, unbind
from ranvier.ops.conv1d import conv1d
from ranvier.ops.conv2d import conv2d
from ranvier.ops.conv3d import conv3d, conv_transpose3d
from ranvier.ops.conv_transpose2d import conv_transpose1d, conv_transpose2d
from ranvier.ops.cross_entropy import cross_entropy, nll_loss
from ranvier.ops.diagonal import diag, diag_embed, diagonal, trace, tril, triu
from ranvier.ops.dropout import dropout
from ranvier.ops.einsum import (
    addmm,
    baddbmm,
    bmm,
    dot,
    einsum,
    inner,
    mm,
    mv,
    outer,
    tensordot,
)
from ranvier.ops.embedding import embedding
from ranvier.ops.gather import (
    bincount,
    gather,
    index_add,
    index_select,
    masked_select,
    nonzero,
    one_hot,
    scatter,
    scatter_add,
    scatter_reduce,
    take_along_dim,
)
from ranvier.ops.glu import glu
from ranvier.ops.group_norm import group_norm
from ranvier.ops.gru import gru, gru_cell
from ranvier.ops.gumbel_softmax import gumbel_softmax
from ranvier.ops.im2col import col2im, fold, im2col, unfold
from ranvier.ops.instance_norm import instance_norm
from ranvier.ops.interpolate import interpolate, upsample
from ranvier.ops.layer_norm import layer_norm
from ranvier.ops.learned_activation import prelu, swish
from ranvier.ops.likelihood_loss import gaussian_nll_loss, kl_div, poisson_nll_loss
from ranvier.ops.linear import linear
from ranvier.ops.local_contrast_norm import local_contrast_norm
from ranvier.ops.local_response_norm import local_response_norm
from ranvier.ops.locally_connected2d import locally_connected2d
from ranvier.ops.logsumexp import logsumexp
from ranvier.ops.lp_pool import lp_pool1d, lp_pool2d
from ranvier.ops.lstm import lstm, lstm_cell
from ranvier.ops.margin_loss import (
    cosine_embedding_loss,
    hinge_embedding_loss,
    hinge_loss,
    margin_ranking_loss,
    multi_margin_loss,
    perceptron_loss,
    soft_margin_loss,
    triplet_margin_loss,
)
from ranvier.ops.matmul import matmul
from ranvier.ops.max_pool import (
    Switches,
    max_pool1d,
    max_pool2d,
    max_pool3d,
    max_unpool1d,
    max_unpool2d,
    max_unpool3d,
)
from ranvier.ops.norm import cdist, cosine_similarity, norm, normalize, pairwise_distance
from ranvier.ops.pad import pad
from ranvier.ops.pixel_shuffle import pixel_shuffle, pixel_unshuffle
from ranvier.ops.pointwise_loss import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    half_squared_error,
    huber_loss,
    l1_loss,
    mse_loss,
    multilabel_soft_margin_loss,
    smooth_l1_loss,
    weighted_mse_loss,
)
from ranvier.ops.rearrange import (
    diff,
    flip,
    fliplr,
    flipud,
    meshgrid,
    repeat,
    repeat_interleave,
    roll,
    rot90,
    tile,
)
from ranvier.ops.reduce import (
    all,
    amax,
    amin,
    any,
    argmax,
    argmin,
    max,
    mean,
    min,
    prod,
    std,
    sum,
    var,
)
from ranvier.ops.remainder import floor_divide, fmod, remainder, trunc_divide
from ranvier.ops.rms_norm import rms_norm
from ranvier.ops.rnn import rnn, rnn_cell
from ranvier.ops.scan import cumprod, cumsum
from ranvier.ops.shape import (
    broadcast_to,
    channels_last,
    clone,
    contiguous,
    expand,
    flatten,
    movedim,
    permute,
    reshape,
    squeeze,
    to,
    transpose,
    unflatten,
    unsqueeze,
    view,
)
from ranvier.ops.softmax import log_softmax, softmax, softmin
from ranvier.ops.sort import argsort, kthvalue, median, sort, topk, unique
from ranvier.ops.unary import (
    abs,
    acos,
    acosh,
    asin,
    asinh,
    atan,
    atanh,
    bipolar_step,
    cbrt,
    ceil,
    celu,
    cos,
    cosh,
    cot,
    csc,
    elu,
    erf,
    exp,
    exp2,
    expm1,
    floor,
    gelu,
    half_tanh,
    hardsigmoid,
    hardswish,
    hardtanh,
    heaviside,
    identity,
    leaky_relu,
    log,
    log1p,
    log2,
    log10,
    logistic,
    logsigmoid,
    mish,
    neg,
    reciprocal,
    relu,
    relu6,
    round,
    rsqrt,
    sec,
    selu,
    sigmoid,
    sign,
    silu,
    sin,
    sinh,
    softplus,
    softsign,
    sqrt,
    square,
    tan,
    tanh,
)
from ranvier.ops.where import masked_fill, where

if not _TYPE_CHECKING:  # mypy shall go on refusing names that are not there

    def __getattr__(name: str) -> _Any:
        from ranvier.cures import missing

        raise missing(__name__, name)

"""What to write instead of names that are not there, for the errors of carried-over scripts.

Imports nothing of the package: any of its modules may ask while it is being loaded.
"""

from __future__ import annotations

_TRANSFORMER = "attention is not built; there are recurrent layers (LSTM, GRU)"
_SPARSE = "every gradient and tensor is dense"
_PLAIN_LIST = "a plain list or dict of them, kept as an attribute, does it"

CURES: dict[str, dict[str, str]] = {
    "ranvier": {
        "FloatTensor": "write rv.tensor(values, dtype=rv.float32)",
        "LongTensor": "write rv.tensor(values, dtype=rv.int64)",
        "addcdiv": "write x + value * a / b",
        "addcmul": "write x + value * a * b",
        "amp": "rv.autocast() is mixed precision",
        "GradScaler": "rv.autocast(rv.bfloat16) needs no loss scale",
        "backends": "leave the line out: results have the same bits on every run anyway",
        "clamp_max": "write x.clamp(max=...)",
        "clamp_min": "write x.clamp(min=...)",
        "compile": "decorate the step with @rv.capture",
        "jit": "decorate the step with @rv.capture",
        "jacobian": "gradients are of first order",
        "atan2": "it is not built",
        "lerp": "write a + weight * (b - a)",
        "logaddexp": "write rv.logsumexp(rv.stack([a, b]), 0)",
        "nan_to_num": "write rv.where(rv.isnan(x), 0.0, x)",
        "onnx": "rv.io.onnx runs ONNX files; writing them is not built",
        "set_default_dtype": "pass dtype=, or call model.to(rv.float64)",
        "sgn": "write rv.sign(x)",
        "sparse": _SPARSE,
        "std_mean": "write x.std(...), x.mean(...)",
        "trunc": "write rv.trunc_divide(x, 1)",
        "use_deterministic_algorithms": "leave the line out: results have the same bits anyway",
        "utils": "rv.data has Dataset and DataLoader",
        "var_mean": "write x.var(...), x.mean(...)",
        "vmap": "ops take batches as they are",
    },
    "ranvier.autograd": {
        "Variable": "every tensor can require gradients",
        "grad": "call y.backward() and read x.grad; gradients are of first order",
        "gradcheck": "compare x.grad with differences in float64",
    },
    "ranvier.functional": {
        "multi_head_attention_forward": _TRANSFORMER,
        "scaled_dot_product_attention": "write F.softmax(q @ k.mT / d**0.5) @ v",
        "hardshrink": "write F.where(x.abs() > lambd, x, 0.0)",
        "relu_": "write x.relu_(), inside no_grad, or x = F.relu(x)",
        "softshrink": "write x - x.clamp(-lambd, lambd)",
        "tanhshrink": "write x - x.tanh()",
        "threshold": "write F.where(x > threshold, x, value)",
    },
    "ranvier.nn": {
        "CTCLoss": "it is not built",
        "DataParallel": "one process uses all threads of the machine; leave it out",
        "MultiheadAttention": _TRANSFORMER,
        "ParameterDict": _PLAIN_LIST,
        "ParameterList": _PLAIN_LIST,
        "SyncBatchNorm": "one process has the whole batch; use BatchNorm",
        "Transformer": _TRANSFORMER,
        "TransformerDecoder": _TRANSFORMER,
        "TransformerDecoderLayer": _TRANSFORMER,
        "TransformerEncoder": _TRANSFORMER,
        "TransformerEncoderLayer": _TRANSFORMER,
        "UpsamplingBilinear2d": "write Upsample(..., mode='bilinear', align_corners=True)",
        "UpsamplingNearest2d": "write Upsample(...)",
    },
    "ranvier.nn.utils": {
        "rnn": "recurrent layers take lengths= and need no packing",
        "spectral_norm": "it is not built",
        "weight_norm": "it is not built",
    },
    "ranvier.optim": {
        **dict.fromkeys(
            ("Adamax", "LBFGS", "NAdam", "RAdam", "Rprop"),
            "there are SGD, Adam, AdamW, RMSprop, Adagrad, Adadelta, and Optimizer to derive from",
        ),
        "SparseAdam": _SPARSE,
    },
    "ranvier.data": {
        "BatchSampler": "DataLoader takes shuffle=, seed= and last=",
        "ConcatDataset": "derive from Dataset, or join the arrays of an ArrayDataset",
        "IterableDataset": "derive from Dataset, whose samples have numbers",
        "RandomSampler": "DataLoader takes shuffle= and seed=",
        "TensorDataset": "write ArrayDataset(x, y)",
        "WeightedRandomSampler": "write data.subset(indices) with indices drawn by weight",
        "default_collate": "define batch(indices) in the Dataset",
        "random_split": "write train_validation_test_split(data, validation=..., test=...)",
    },
}  # fmt: skip


def missing(module: str, name: str) -> AttributeError:
    """The error for a name that a module lacks, with a cure where there is one."""
    cure = CURES.get(module, {}).get(name)
    text = f"module {module!r} has no attribute {name!r}" + (f" - {cure}" if cure else "")
    return AttributeError(text)

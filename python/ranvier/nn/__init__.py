"""Networks: modules of plain attributes, layers, losses and initial values."""

from ranvier.nn import init, utils
from ranvier.nn.activation import Dropout, LeakyReLU, LogSoftmax, ReLU, Sigmoid, Softmax, Tanh
from ranvier.nn.containers import ModuleDict, ModuleList, Sequential
from ranvier.nn.conv import (
    Conv1d,
    Conv2d,
    Conv3d,
    ConvTranspose1d,
    ConvTranspose2d,
    ConvTranspose3d,
    LocallyConnected2d,
)
from ranvier.nn.linear import Embedding, Flatten, Identity, Linear
from ranvier.nn.losses import CrossEntropyLoss, MSELoss
from ranvier.nn.module import Module, Window, observe
from ranvier.nn.norm import (
    BatchNorm1d,
    BatchNorm2d,
    BatchNorm3d,
    GroupNorm,
    InstanceNorm1d,
    InstanceNorm2d,
    InstanceNorm3d,
    LayerNorm,
    LocalContrastNorm,
    LocalResponseNorm,
    RMSNorm,
)
from ranvier.nn.parameter import Buffer, Parameter
from ranvier.nn.pooling import AvgPool2d, MaxPool2d
from ranvier.nn.recurrent import GRU, LSTM, RNN, ConvLSTM, GRUCell, LSTMCell, RNNCell
from ranvier.nn.resize import (
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    AdaptiveMaxPool1d,
    AdaptiveMaxPool2d,
    LPPool2d,
    PixelShuffle,
    PixelUnshuffle,
    Upsample,
)

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AvgPool2d",
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "Buffer",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvLSTM",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "CrossEntropyLoss",
    "Dropout",
    "Embedding",
    "Flatten",
    "GRUCell",
    "GroupNorm",
    "Identity",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "InstanceNorm3d",
    "LPPool2d",
    "LSTMCell",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "LocalContrastNorm",
    "LocalResponseNorm",
    "LocallyConnected2d",
    "LogSoftmax",
    "MSELoss",
    "MaxPool2d",
    "Module",
    "ModuleDict",
    "ModuleList",
    "Parameter",
    "PixelShuffle",
    "PixelUnshuffle",
    "RMSNorm",
    "RNNCell",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "Upsample",
    "Window",
    "init",
    "observe",
    "utils",
]  # fmt: skip

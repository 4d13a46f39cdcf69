"""Networks: modules of plain attributes, layers, losses and initial values."""

from ranvier.nn import init
from ranvier.nn.activation import Dropout, LeakyReLU, LogSoftmax, ReLU, Sigmoid, Softmax, Tanh
from ranvier.nn.containers import ModuleDict, ModuleList, Sequential
from ranvier.nn.conv import Conv2d
from ranvier.nn.linear import Embedding, Flatten, Identity, Linear
from ranvier.nn.losses import CrossEntropyLoss, MSELoss
from ranvier.nn.module import Module, Window, observe
from ranvier.nn.parameter import Buffer, Parameter
from ranvier.nn.pooling import AvgPool2d, MaxPool2d
from ranvier.nn.recurrent import GRU, LSTM, RNN, ConvLSTM, GRUCell, LSTMCell, RNNCell

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "AvgPool2d",
    "Buffer",
    "Conv2d",
    "ConvLSTM",
    "CrossEntropyLoss",
    "Dropout",
    "Embedding",
    "Flatten",
    "GRUCell",
    "Identity",
    "LSTMCell",
    "LeakyReLU",
    "Linear",
    "LogSoftmax",
    "MSELoss",
    "MaxPool2d",
    "Module",
    "ModuleDict",
    "ModuleList",
    "Parameter",
    "RNNCell",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "Window",
    "init",
    "observe",
]  # fmt: skip

"""Models of the course, by name: `ranvier.models.get("lenet")`."""

from ranvier.models.autoencoder import Autoencoder, autoencoder
from ranvier.models.char_lstm import CharLSTM, char_lstm
from ranvier.models.dcgan import (
    Discriminator,
    Generator,
    dcgan_discriminator,
    dcgan_generator,
)
from ranvier.models.lenet import LeNet, lenet
from ranvier.models.mlp import mlp
from ranvier.models.registry import get, names, options, register
from ranvier.models.resnet import (
    CifarResNet,
    ResNet,
    resnet18,
    resnet20,
    resnet34,
    resnet50,
    resnet56,
    resnet101,
    resnet152,
)
from ranvier.models.unet import UNet, unet

__all__ = [
    "Autoencoder",
    "CharLSTM",
    "CifarResNet",
    "Discriminator",
    "Generator",
    "LeNet",
    "ResNet",
    "UNet",
    "autoencoder",
    "char_lstm",
    "dcgan_discriminator",
    "dcgan_generator",
    "get",
    "lenet",
    "mlp",
    "names",
    "options",
    "register",
    "resnet18",
    "resnet20",
    "resnet34",
    "resnet50",
    "resnet56",
    "resnet101",
    "resnet152",
    "unet",
]

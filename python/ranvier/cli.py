"""The `ranvier` command: what may be typed. What it does is in `ranvier._cli`.

Nothing heavy is imported here, so that `ranvier --help` answers at once.
"""

from __future__ import annotations

import argparse
import difflib
import errno
import io
import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

from ranvier import _command

MODELS = ("lenet", "mlp")
_DATA = "digits, mnist, fashion-mnist, cifar10, cifar100, a folder of class folders, or an .npz"


_CURES = {
    errno.EACCES: "ask its owner for the right, or choose another place",
    errno.EDQUOT: "make room, or choose another place",
    errno.EEXIST: "a file is where a folder must be: remove it, or choose another name",
    errno.EISDIR: "a folder is where a file must be: remove it, or choose another name",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ENOENT: "correct the path; folders and files of a run must stay while it lasts",
    errno.ENOSPC: "make room, or choose another place",
    errno.ENOTDIR: "a file is where a folder must be: remove it, or choose another name",
    errno.EROFS: "choose another place",
}

VERBS = ("train", "evaluate", "predict", "summary", "info", "bench")


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"ranvier: error: {message} - see {self.prog} --help\n")


class _Version(argparse.Action):
    """Prints the version, which is looked up only then."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option: str | None = None) -> None:
        import ranvier

        print(f"ranvier {ranvier.__version__}")
        parser.exit(0)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="ranvier",
        description="Train small neural networks, look at them, and use them.",
        epilog="Example: ranvier train lenet, then ranvier predict runs/lenet picture.png",
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and stop")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    _add_train(verbs)
    _add_evaluate(verbs)
    _add_predict(verbs)
    _add_summary(verbs)

    info = _verb(verbs, "info", "show versions, instruction set, threads and devices", "info")
    info.add_argument("--json", action="store_true", help="as JSON")

    bench = _verb(verbs, "bench", "measure kernels and training steps on this machine", "bench")
    bench.add_argument("arguments", nargs=argparse.REMAINDER, help="see: ranvier bench --help")
    return parser


def _verb(verbs: Any, name: str, text: str, module: str, **options: Any) -> argparse.ArgumentParser:
    """A subcommand that runs `main(arguments)` of a module in `ranvier._cli`."""
    parser = verbs.add_parser(
        name, help=text, description=text[0].upper() + text[1:] + ".", **options
    )
    # --debug may stand before or after the verb.
    parser.add_argument(
        "--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS
    )
    parser.set_defaults(module=module)
    return parser


def _add_train(verbs: Any) -> None:
    train = _verb(
        verbs,
        "train",
        "train a model and write a run folder",
        "train",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=(
            "The run folder holds config.toml, metrics.jsonl, model.safetensors, model.json,\n"
            "checkpoint.safetensors, results.json, learning_curves.png and confusion_matrix.png.\n"
            "The test part is read once, after the last epoch. Ctrl-C saves; --resume goes on\n"
            "with the very bits that an uninterrupted run would have had.\n\n"
            "Settings come, the later over the earlier, from the recipe of model and data, from\n"
            "--config, from --set, and from the options; --print-config shows the outcome."
        ),
    )
    add = train.add_argument
    add("model", nargs="?", help=f"one of: {', '.join(MODELS)}")
    add("--data", metavar="NAME|PATH", help=_DATA)
    add("--epochs", type=int, metavar="N", help="passes over the training part")
    add("--batch-size", type=int, metavar="N", help="samples per step")
    add("--lr", type=float, metavar="RATE", help="learning rate; the same as --set optimizer.lr=")
    add("--seed", type=int, metavar="N", help="of weights, order, augmentation and dropout")
    add("--device", help="cpu, cuda, cuda:0 or auto")
    add("--out", metavar="FOLDER", help="the run folder (default: runs/MODEL, numbered)")
    add(
        "--resume",
        nargs="?",
        const=True,
        metavar="FOLDER",
        help="go on with an interrupted run: this folder, else --out, else the latest of the model",
    )
    add("--config", metavar="FILE", help="settings from a .toml or .json file")
    add("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides",
        help="one setting, for example optimizer.lr=0.01; may be repeated")  # fmt: skip
    add("--print-config", action="store_true", help="print the settings as TOML and stop")
    add("--no-capture", action="store_true", help="run every step eagerly")
    add("-q", "--quiet", action="store_true", help="print the result only")


def _add_evaluate(verbs: Any) -> None:
    evaluate = _verb(verbs, "evaluate", "measure a trained model on data", "evaluate")
    add = evaluate.add_argument
    add("run", help="a run folder, or its model.safetensors")
    add("--data", metavar="NAME|PATH", help="other data than it was trained on")
    add("--part", choices=("train", "validation", "test"), default="test", help="default: test")
    add("--device", help="cpu, cuda, cuda:0 or auto")
    add("--json", action="store_true", help="as JSON")


def _add_predict(verbs: Any) -> None:
    predict = _verb(
        verbs,
        "predict",
        "say what is on a picture",
        "predict",
        epilog=(
            "Models of digits see bright strokes on black: a picture whose border is brighter "
            "than its middle grey is inverted, the strokes are cut out, scaled to the size that "
            "the training pictures have, and centred. Other pictures are scaled to the model's "
            "size. --invert and --no-invert decide it by hand."
        ),
    )
    add = predict.add_argument
    add("run", help="a run folder, or its model.safetensors")
    add("images", nargs="+", metavar="IMAGE", help="picture files of any size")
    add("--top", type=int, default=3, metavar="K", help="how many classes to show (default: 3)")
    invert = predict.add_mutually_exclusive_group()
    invert.add_argument("--invert", action="store_true", default=None, help="invert in any case")
    invert.add_argument("--no-invert", action="store_false", dest="invert", help="never invert")
    add("--json", action="store_true", help="as JSON, one line per picture")


def _add_summary(verbs: Any) -> None:
    summary = _verb(
        verbs, "summary", "list a model's layers, sizes and costs without running it", "summary"
    )
    add = summary.add_argument
    add("model", help="name of a model such as lenet or resnet18, a run folder, or its weights")
    add("--input-size", metavar="C,H,W", help="shape of one input, for example 1,32,32")
    add("--depth", type=int, metavar="N", help="show modules down to this depth only")
    add("--json", action="store_true", help="as JSON")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code.

    0 is success, 1 a training run that failed (its loss became nan), 2 a mistake in what was asked
    for, 130 an interruption.
    """
    _command.watch_command()
    given = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")  # a name that the terminal cannot write
    if given and given[0] not in VERBS and not given[0].startswith("-"):
        close = difflib.get_close_matches(given[0], VERBS, 1)
        cure = f"did you mean {close[0]!r}?" if close else "see ranvier --help"
        return _report(
            ValueError(f"expected one of {', '.join(VERBS)}, got {given[0]!r} - {cure}"), False, 2
        )
    if given[:1] == ["bench"]:  # its options are its own
        options = argparse.Namespace(module="bench", arguments=given[1:], debug=False)
    else:
        options = _parser().parse_args(given)
    try:
        return int(import_module(f"ranvier._cli.{options.module}").main(options) or 0)
    except KeyboardInterrupt as interrupt:
        if arguments is None:  # the process ends: a third Ctrl-C would only tear this line
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        print(f"\nranvier: {str(interrupt) or 'interrupted'}", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `ranvier summary lenet | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except FloatingPointError as error:
        return _report(error, options.debug, 1)
    except (
        ValueError, TypeError, LookupError, OSError, ImportError, MemoryError, RuntimeError,
    ) as error:  # fmt: skip
        return _report(error, options.debug, 2)


def _report(error: BaseException, debug: bool, code: int) -> int:
    """One line on the standard error output; with --debug the traceback in front of it."""
    if debug:
        raise error
    text = error.args[0] if isinstance(error, KeyError) and error.args else str(error)
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        text = f"expected to use {os.fspath(error.filename)!r}, got: {error.strerror}"
        text += f" - {_CURES[error.errno]}" if error.errno in _CURES else ""
    text = "; ".join([str(text), *filter(None, getattr(error, "__notes__", ()))])
    line = " ".join(text.split()) or type(error).__name__
    print(f"ranvier: error: {line}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())

"""The command `refquant`: the public functions, from a shell."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import textwrap
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Callable, NamedTuple

import refquant
from refquant import commands, conversions
from refquant.arguments import HALF_OVERFLOW
from refquant.terminal import abandon, log_as_lines, remarks_may_be_lost, say, say_why, warnings_as_lines

#: Exit codes: bad input; bad usage, as argparse has it; and what shells use for a command that was
#: interrupted or terminated: 128 and the number of the signal.
BAD_INPUT, BAD_USAGE, INTERRUPTED, TERMINATED = 1, 2, 130, 143

#: The command that has commands of its own, and what it is for.
KIT, KIT_HELP = "conformance", "put another implementation to the test"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code: 0, or one of those above."""
    _stand_in_for_closed_streams()
    with remarks_may_be_lost():
        return _run(list(sys.argv[1:] if arguments is None else arguments))


def _run(given: list[str]) -> int:
    """Run the command that these arguments ask for; give its exit code."""
    if given[:1] == [KIT]:
        from refquant.conformance import cli as kit  # a tool of its own, which the others do not wait for

        options = kit.parser().parse_args(given[1:])
    else:
        options = _parsed(given)
    code = 0
    try:
        with _terminable(), warnings_as_lines(), log_as_lines(options.verbose):
            code = options.run(options) or 0
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read it has seen enough. Other streams and pipes have errors of their own.
        abandon(sys.stdout)
    except KeyboardInterrupt:
        return INTERRUPTED
    except _Terminated:
        return TERMINATED
    except (refquant.RefquantError, OSError, MemoryError) as error:
        if options.debug:
            say_why()
        say(f"error: {_reason(error)}")
        return BAD_USAGE if isinstance(error, refquant.ArgumentError) else BAD_INPUT
    return code


def _stand_in_for_closed_streams() -> None:
    """Put something in the place of streams that were closed when this process began.

    What goes to stderr is lost then, and what goes to stdout an error; and no file that is opened later comes
    to have the number of either.
    """
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("r")  # noqa: SIM115 -- it stays; and cannot be written
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 -- it stays


class _Terminated(BaseException):
    """Somebody asked this process to end."""


@contextmanager
def _terminable() -> Iterator[None]:
    """Take leave at a SIGTERM as at an interrupt, with worker processes ended and nothing left half written.

    Where the signal has a meaning already, or cannot be given one, it keeps that.
    """
    main_thread = threading.current_thread() is threading.main_thread()
    if not main_thread or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return

    def end(*_: object) -> None:
        raise _Terminated

    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _reason(error: Exception) -> str:
    """Put an error into words; one that is not refquant's comes from making a folder or writing to stdout."""
    if isinstance(error, refquant.RefquantError) or not isinstance(error, OSError):
        return conversions.reason(error)
    if error.filename is None:
        abandon(sys.stdout)
    return f"cannot write {error.filename or 'the output'}: {error.strerror or error}"


class Option(NamedTuple):
    """An option or argument of a command, as argparse takes it, and the group that the help shows it in."""

    names: tuple[str, ...]
    settings: dict[str, Any]
    group: str = ""


class Command(NamedTuple):
    """A command: what runs, a line in the list of commands, its options and what its help ends with."""

    run: Callable[[argparse.Namespace], int | None]
    help: str
    options: tuple[Option, ...]
    epilog: str = ""


def _parsed(given: Sequence[str]) -> argparse.Namespace:
    """Parse a command's options, which may stand before, between and after its arguments."""
    parser, parsers = _parsers()
    if given and given[0] in parsers:
        return parsers[given[0]].parse_intermixed_args(_without_mark(given[1:]))
    return parser.parse_args(given)


def _without_mark(given: Sequence[str]) -> list[str]:
    """Give what follows `--`, which argparse forgets between options, as names that cannot be options."""
    mark = given.index("--") if "--" in given else len(given)
    names = given[mark + 1 :]
    return [*given[:mark], *(f"./{name}" if name[:1] == "-" != name else name for name in names)]


def _parsers() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    """Make the parser of the whole, and the parser of each command by its name."""
    # What stands after the options keeps its line breaks.
    layout: Any = partial(argparse.RawDescriptionHelpFormatter, max_help_position=26)
    parser = argparse.ArgumentParser(
        prog="refquant",
        description="Store the weights of a Core ML neural network in fewer bits.",
        epilog=_table(
            "commands:", {**{name: command.help for name, command in COMMANDS.items()}, KIT: KIT_HELP}
        )
        + "\n\n`refquant COMMAND --help` explains a command; `refquant demo` shows results.",
        formatter_class=layout,
    )
    parser.add_argument("--version", action="version", version=f"refquant {refquant.__version__}")
    choice = parser.add_subparsers(metavar="COMMAND", required=True, help="one of those below")
    choice.add_parser(KIT)
    parsers: dict[str, argparse.ArgumentParser] = {}
    for name, command in COMMANDS.items():
        about = textwrap.fill(command.run.__doc__ or command.help, 78)
        own = choice.add_parser(name, description=about, epilog=command.epilog, formatter_class=layout)
        parsers[name] = own
        own.set_defaults(run=command.run)
        groups: dict[str, Any] = {"": own}
        for option in (*command.options, *EVERYWHERE):
            if option.group not in groups:
                groups[option.group] = own.add_argument_group(option.group)
            groups[option.group].add_argument(*option.names, **option.settings)
    return parser, parsers


def _table(heading: str, rows: Mapping[str, str]) -> str:
    width = max(map(len, rows))
    return "\n  ".join([heading, *(f"{name.ljust(width)}  {text}" for name, text in rows.items())])


def _option(*names: str, group: str = "", **settings: Any) -> Option:
    return Option(names, settings, group)


def _flag(name: str, text: str, group: str = "") -> Option:
    return _option(name, action="store_true", help=text, group=group)


#: Heading of the options that choose layers.
LAYERS = "which layers (default: all with weights), after fusion: see --no-fuse"

EVERYWHERE = (
    _flag("--debug", "show the traceback of an error"),
    _flag("--verbose", "say what is done, layer by layer"),
)
INPUT = (_option("input", metavar="IN", help="model: an .mlmodel file, an .mlpackage, or - for stdin"),)
JSON = (_flag("--json", "print JSON instead; names past 300 characters lose their middle"),)
FORCE = _flag("--force", "overwrite results that exist")
CONVERSION = (
    _option("inputs", nargs="+", metavar="IN", help="models: .mlmodel files, .mlpackages, or - for stdin"),
    _option("output", metavar="OUT", help="a file or, for any number of models, a folder; - for stdout"),
    FORCE,
    _flag("--quiet", "no summary, no progress bar"),
    _option("--jobs", type=int, default=1, metavar="N", help="processes to spread the work over (1)"),
    _flag("--timings", "say where the time went, by phase and layer"),
)
QUANTIZATION = (
    *CONVERSION,
    _option("--nbits", type=int, metavar="N", help="bits a weight: 16 (half precision) or 1 to 8"),
    _option("--mode", default="linear", metavar="M", help="how, for 8 bits and fewer: see below"),
    _flag("--exact", "for kmeans_lut: the best table there is, in about ten times the time"),
    _flag("--certify", "for kmeans_lut: say how near each table is to the best there is"),
    _flag(
        "--no-fuse",
        "keep batchnorm, scale and bias layers, which are else worked into those before them, before layers "
        "are chosen",
    ),
    _option(
        "--half-overflow",
        choices=HALF_OVERFLOW,
        default="error",
        help="a weight too great for 16 bits: refuse the model (error), or keep its layer in float32",
    ),
    _option(
        "--lut-function",
        metavar="MODULE:FUNCTION",
        help="for custom_lut: a function (nbits, weights) -> (table, codes); this folder is on the path",
    ),
    _option(
        "--skip-layer-types",
        action="append",
        metavar="T[,T]",
        help="leave these types alone, such as batchnorm,bias,depthwiseConv",
        group=LAYERS,
    ),
    _option(
        "--skip-layer",
        action="append",
        metavar="NAME",
        help="leave the layer of this name alone; for several, say it again",
        group=LAYERS,
    ),
    _option(
        "--min-conv-kernel-channels",
        type=int,
        metavar="N",
        help="only convolutions with N or more kernel channels",
        group=LAYERS,
    ),
    _option(
        "--min-conv-weight-count",
        type=int,
        metavar="N",
        help="only convolutions with N or more weights",
        group=LAYERS,
    ),
)

#: Mode -> what it stores, in a few words.
MODES = {
    "linear": "even steps: a scale and a bias a channel (the default)",
    "linear_symmetric": "even steps, centred on zero; 8 bits only",
    "linear_lut": "even steps, as one table for each tensor",
    "kmeans_lut": "a table of the values that fit best (kmeans is the same)",
    "custom_lut": "a table of your own making: --lut-function",
    "dequantization": "back to float32; needs no --nbits",
}
EXAMPLES = """

examples:
  refquant quantize model.mlmodel small.mlmodel --nbits 8
  refquant quantize model.mlmodel tiny.mlmodel --nbits 4 --mode kmeans_lut
  refquant quantize *.mlmodel small/ --nbits 4 --mode kmeans_lut --jobs 4"""

COMMANDS = {
    "quantize": Command(
        conversions.quantize, "store weights in fewer bits", QUANTIZATION, _table("modes:", MODES) + EXAMPLES
    ),
    "dequantize": Command(conversions.dequantize, "turn weights back into float32", CONVERSION),
    "activate-int8": Command(conversions.activate_int8, "prepare matrix products for int8", CONVERSION),
    "inspect": Command(commands.inspect, "list the weight tensors of a model", (*INPUT, *JSON)),
    "compare": Command(
        commands.compare,
        "compare the weights of two models",
        (
            _option("first", metavar="A", help="the model before, or - for stdin"),
            _option("second", metavar="B", help="the model after, or - for stdin"),
            *JSON,
        ),
        "The signal-to-noise ratio (SNR) is 10 log10(sum w^2 / sum (w - w')^2), inf where\n"
        "nothing differs. Layers that fusion worked into others are in one model only.",
    ),
    "validate": Command(
        commands.validate,
        "look for faults in the weights of models",
        (
            _option("inputs", metavar="FILE", nargs="+", help="models: files or packages, or - for stdin"),
            *JSON,
        ),
        "A fault is named by the rule that it breaks: spec/13-file.md lists them all.",
    ),
    "demo": Command(
        commands.demo,
        "quantize the embedded sample in every mode",
        (_option("--output", metavar="DIR", help="also write the models to this folder"), FORCE),
    ),
}

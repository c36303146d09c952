"""Looks a checkpoint over before anything is built from it: what it promises, what it is made of, how large it gets.

A file may come from anywhere.  Its sizes are compared with its length before a byte is unpacked, its content may hold
plain values and tensors only, every number of which is finite, and a network may not grow far beyond its file.
"""

import math
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


class UnsoundError(ValueError):
    """Says what about a checkpoint no program of ours has written."""


PLAIN = (str, int, float, bool, type(None))
DEEPEST = 32
"""Levels of dictionaries and lists; ours have about eight."""
MOST_PARTS = 1_000_000
"""Values and containers, each counted as often as it is pointed to; ours have some thousands."""
LARGEST_WHOLE = 2**63
NUMBERS = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16,
           torch.int8, torch.uint8, torch.bool)  # fmt: skip
UNPACKED_FACTOR = 8
"""Bytes in memory for a byte in the file: 8 bits become 32, and a table may stand under two names."""
SPARE_BYTES = 1 << 29
"""What may be filled beside the weights while a network is rebuilt: the body, tables of places, first draws."""


def check_archive(path: Path) -> None:
    """Refuse a file that unpacks into more than itself, before anything of it is unpacked.

    Raises:
        UnsoundError: it is no archive of PyTorch, or its parts are compressed, or promise more bytes than it has.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OverflowError) as error:
        raise UnsoundError("it is no whole archive of PyTorch") from error
    size, promised = path.stat().st_size, sum(part.file_size for part in parts)
    if any(part.compress_type != zipfile.ZIP_STORED for part in parts) or promised > size:
        raise UnsoundError(f"its parts promise {promised} bytes in a file of {size}, and none may be compressed")


def check_content(content: Any, file_bytes: int) -> None:
    """Refuse what no checkpoint of ours holds: other types, deep nests, and tensors larger than what is stored.

    Raises:
        UnsoundError: naming the part.
    """
    bytes_in_tensors = 0
    for name, value in parts_of(content):
        if isinstance(value, Tensor):
            bytes_in_tensors += checked_bytes(name, value)
        elif type(value) is int and abs(value) >= LARGEST_WHOLE:
            raise UnsoundError(f"{name} is a whole number of {value.bit_length()} bits")
        elif type(value) not in (*PLAIN, dict, OrderedDict, list, tuple):
            raise UnsoundError(f"{name} is a {type(value).__name__}, neither a plain value nor a tensor")
    if bytes_in_tensors > UNPACKED_FACTOR * file_bytes:
        raise UnsoundError(f"its tensors take {bytes_in_tensors} bytes and the file has {file_bytes}")


def parts_of(content: Any) -> Iterator[tuple[str, Any]]:
    """Yield everything in nested dictionaries and lists, with dotted names, as often as it is pointed to.

    Raises:
        UnsoundError: it is nested too deeply, in itself, or has too many parts.
    """
    waiting: list[tuple[str, Any, int]] = [("the content", content, 0)]
    count = 0
    while waiting:
        name, value, depth = waiting.pop()
        yield name, value
        inner: Iterable[tuple[Any, Any]] = ()
        if isinstance(value, dict):
            inner = value.items()
        elif isinstance(value, list | tuple):
            inner = enumerate(value)
        for key, part in inner:
            count += 1
            if type(key) not in (str, int):
                raise UnsoundError(f"{name} has a {type(key).__name__} as a name")
            if count > MOST_PARTS or depth >= DEEPEST:
                raise UnsoundError(f"it has more than {MOST_PARTS} parts, or more than {DEEPEST} levels")
            told = str(key)[:80] if str(key).isprintable() else ascii(key)[:80]
            waiting.append((f"{name}.{told}" if depth else told, part, depth + 1))


def checked_bytes(name: str, tensor: Tensor) -> int:
    """Count the bytes that a tensor takes once it lies alone.

    Raises:
        UnsoundError: it is of an unusual kind, or repeats what is stored to seem larger.
    """
    is_plain = type(tensor) in (Tensor, nn.Parameter) and tensor.layout == torch.strided and tensor.device.type == "cpu"
    if not is_plain or tensor.dtype not in NUMBERS:
        raise UnsoundError(f"{name} is a tensor of {tensor.dtype} on {tensor.device}, not of plain numbers")
    taken, stored = tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes()
    if taken > stored:
        raise UnsoundError(f"{name} asks for {taken} bytes, and the file has {stored} of it")
    return taken


def check_finite_numbers(states: Any) -> None:
    """Refuse weights, and moments of optimisers, that are NaN or infinite.

    Raises:
        UnsoundError: naming the first such table.
    """
    for name, value in parts_of(states):
        if isinstance(value, Tensor) and value.is_floating_point() and not value.isfinite().all():
            broken = int((~value.isfinite()).sum())
            raise UnsoundError(f"{broken} of the {value.numel()} numbers in {name} are NaN or infinite: the training "
                             "that wrote it had failed")  # fmt: skip
        if isinstance(value, float) and not math.isfinite(value):
            raise UnsoundError(f"{name} is {value}")


def check_predictions(checkpoint: Path, **found: Tensor | np.ndarray) -> None:
    """Refuse what a network predicts where it is none: weights that are finite may lead there, too.

    Raises:
        ValueError: a number is NaN or infinite; naming the checkpoint, and which.
    """
    for name, values in found.items():
        if not np.isfinite(values.detach().cpu().numpy() if isinstance(values, Tensor) else values).all():
            raise ValueError(f"{checkpoint} leads to {name.replace('_', ' ')} that are NaN or infinite: its weights "
                             "are damaged, or its training had failed; train it again, or give another")  # fmt: skip


MAKERS: tuple[Callable[..., Any], ...] = (torch.empty, torch.zeros, torch.ones, torch.rand, torch.randn, torch.full)
"""What makes tensors out of sizes, which come first."""


class LimitedSizes(TorchFunctionMode):
    """Inside it, a network that is rebuilt may take so many bytes; more is refused before it is asked for."""

    def __init__(self, file_bytes: int):
        super().__init__()
        self.left = self.most = UNPACKED_FACTOR * file_bytes + SPARE_BYTES

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Count what a function is about to make."""
        if func in MAKERS:
            sizes = args[:1] if func is torch.full else args
            asked = 4 * math.prod(sizes_in((kwargs or {}).get("size", sizes)))
            self.left -= asked
            if self.left < 0:
                raise UnsoundError(f"its settings ask for {self.most - self.left} bytes or more, and a network of this "
                                 f"file's size takes at most {self.most}")  # fmt: skip
        return func(*args, **(kwargs or {}))


def sizes_in(arguments: Any) -> list[int]:
    """Collect the sizes among arguments, given one by one or as a tuple."""
    found = []
    for one in arguments if isinstance(arguments, tuple | list) else (arguments,):
        found += sizes_in(one) if isinstance(one, tuple | list) else [one] if isinstance(one, int) else []
    return found

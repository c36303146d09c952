"""Changes small real files as damage and malice do: bytes, numbers, lines, nests, and the parts of archives."""

import io
import random
import re
import zipfile
from collections.abc import Callable, Sequence

from utils.safe_arrays import BROKEN_ARCHIVE

NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?")
NUMBERS = (b"nan", b"NaN", b"inf", b"-1", b"0", b"1e999", b"-1e308", b"99999999999999999999", b"1e18", b"0.1",
           b"2147483648", b"1e-320", b"true", b"null", b'"1"', b"[1, 2]", b"{}", b"65536")  # fmt: skip
WORDS = (b"\xff\xff\xff\xff", b"\x00\x00\x00\x80", b"\xff\xff\xff\x7f", b"\x00\x00\x00\x00", b"\xff" * 8, b"\x00" * 8,
         b"\x00\x00\x00\x00\x01\x00\x00\x00", b"\x01\x00\x00\x00", b"\x00\x01")  # fmt: skip
NESTS = (b"[", b"{", b"(", b'{"a":', b"[[", b"- ", b"<a>", b"a:\n ")
OPCODES = (b"r\xff\xff\xff\x7f", b"\x8e\x00\x00\x00\x00\x00\x01\x00\x00", b"cos\nsystem\n", b"(lp0\n", b"p2147483647\n",
           b"Q", b"R", b"\x81", b"b", b"0", b"2" * 50, b"\x96\x00\x00\x00\x00\x01\x00\x00\x00")  # fmt: skip
"""Of pickles: places in the memory far away, bytes without end, calls, and what empties the stack."""


def _place(content: bytes, rng: random.Random) -> int:
    return rng.randrange(len(content) + 1)


def flip(content: bytes, rng: random.Random) -> bytes:
    """Change up to eight bytes."""
    changed = bytearray(content)
    for _ in range(rng.randint(1, 8) if changed else 0):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def cut(content: bytes, rng: random.Random) -> bytes:
    """Cut the end off, or a piece out."""
    first = _place(content, rng)
    return content[:first] if rng.random() < 0.3 else content[:first] + content[first + rng.randint(1, 64) :]


def repeat(content: bytes, rng: random.Random) -> bytes:
    """Repeat a piece."""
    first = _place(content, rng)
    piece = content[first : first + rng.randint(1, 256)]
    return content[:first] + piece * rng.choice((2, 3, 50)) + content[first:]


def number(content: bytes, rng: random.Random) -> bytes:
    """Put another number in the place of a written one."""
    found = list(NUMBER.finditer(content[:20_000]))
    if not found:
        return word(content, rng)
    where = rng.choice(found)
    return content[: where.start()] + rng.choice(NUMBERS) + content[where.end() :]


def word(content: bytes, rng: random.Random) -> bytes:
    """Put a number that is large or odd in the place of a binary one."""
    first, put = _place(content, rng), rng.choice(WORDS)
    return content[:first] + put + content[first + len(put) :]


def line(content: bytes, rng: random.Random) -> bytes:
    """Leave out, repeat or move a line."""
    lines = content.split(b"\n")
    taken = lines.pop(rng.randrange(len(lines)))
    for _ in range(rng.randint(0, 2)):
        lines.insert(rng.randint(0, len(lines)), taken)
    return b"\n".join(lines)


def nest(content: bytes, rng: random.Random) -> bytes:
    """Open brackets without end."""
    first = _place(content, rng)
    return content[:first] + rng.choice(NESTS) * rng.choice((3, 500, 100_000)) + content[first:]


def opcode(content: bytes, rng: random.Random) -> bytes:
    """Put an instruction of a pickle somewhere."""
    first = _place(content, rng)
    return content[:first] + rng.choice(OPCODES) + content[first:]


PLAIN: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    flip,
    flip,
    cut,
    repeat,
    number,
    number,
    word,
    line,
    nest,
    opcode,
)


def in_archive(
    content: bytes, rng: random.Random, ways: Sequence[Callable[[bytes, random.Random], bytes]] = PLAIN
) -> bytes:
    """Change a part of a zip archive and pack it again, so that its checksums hold; sometimes pack it hostilely."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    chosen = rng.choice(sorted(parts))
    parts[chosen] = rng.choice(ways)(parts[chosen], rng)
    if rng.random() < 0.05:
        parts["../../outside" if rng.random() < 0.5 else chosen] = bytes(5_000_000)
    packed = io.BytesIO()
    kind = zipfile.ZIP_DEFLATED if rng.random() < 0.1 else zipfile.ZIP_STORED
    with zipfile.ZipFile(packed, "w", kind) as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    return packed.getvalue()


def mutated(content: bytes, rng: random.Random) -> bytes:
    """Change a file in one to three ways."""
    is_archive = content[:4] == b"PK\x03\x04"
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        if is_archive and rng.random() < 0.6:
            try:
                content = in_archive(content, rng)
                continue
            except BROKEN_ARCHIVE:
                is_archive = False  # an earlier change has damaged it
        content = rng.choice(PLAIN)(content, rng)
    return content

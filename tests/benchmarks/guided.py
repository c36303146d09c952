"""Gives a reader what coverage chooses: files that reach new code are kept and changed further.

Started by `python tests/benchmarks/fuzz.py --guided`, a process for each reader, as atheris ends the process that it
runs in.  Our code, and the parsers of TOML and YAML, are watched; code in C is not.
"""

import hashlib
import random
import resource
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["config", "dataset_def", "models", "tomllib", "utils", "yaml"]):
    from tests.benchmarks.fuzz import IN_MEMORY, Tally, tried, within_limits
    from tests.helpers.file_readers import READERS
    from utils.safe_arrays import BROKEN_ARCHIVE
from tests.helpers.mutations import in_archive, mutated
from utils.settings import start

MOST_BYTES = 1 << 20
"""Of a file."""


@dataclass(frozen=True)
class GuidedConfig:
    """tests/benchmarks/guided.py: one reader."""

    reader: str
    tally: Path
    """Where counts go."""
    kept: Path
    """Where inputs go that led to anything else than a value or a sentence."""
    corpus: Path
    """Inputs that reached new code: a byte that chooses the file, then its content."""
    seconds: float
    cases: int


def changed(data: bytes, most: int, seed: int) -> bytes:
    """Change an input as atheris does, as our own fuzzing does, or by atheris inside a part of an archive."""
    rng = random.Random(seed)
    content = data[1:]
    way = rng.randrange(3)
    if way == 0 and content[:4] == b"PK\x03\x04":
        try:
            content = in_archive(content, rng, (lambda part, _: atheris.Mutate(part, len(part) + 256),))
        except BROKEN_ARCHIVE:  # an earlier change has damaged it
            way = 1
    if way == 1:
        return bytes(atheris.Mutate(data, most))
    if way == 2:
        content = mutated(content, rng)
    return (data[:1] + content)[:most]


def main(config: GuidedConfig) -> None:
    """Run until the time is over; atheris ends the process."""
    reader, tally = READERS[config.reader], Tally(config.tally)
    folder = Path(tempfile.mkdtemp(prefix="guided_", dir=IN_MEMORY if IN_MEMORY.is_dir() else None))
    whole = {path: path.read_bytes() for path in reader.write(folder)}
    files = sorted(whole)
    config.corpus.mkdir(parents=True, exist_ok=True)
    for place, path in enumerate(files):
        (config.corpus / f"seed_{place}").write_bytes(bytes([place]) + whole[path])
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    def one(data: bytes) -> None:
        path = files[data[0] % len(files) if data else 0]
        path.write_bytes(data[1:])
        with within_limits():
            verdict = tried(reader, path)
        path.write_bytes(whole[path])
        done, refused, foreign, over = tally.get()
        kinds = [verdict.kind == kind for kind in ("refused", "foreign", "over_limit")]
        tally.set(done + 1, refused + kinds[0], foreign + kinds[1], over + kinds[2])
        if verdict.words:
            config.kept.mkdir(parents=True, exist_ok=True)
            input_file = config.kept / f"{hashlib.sha256(data).hexdigest()[:16]}_{path.name}"
            input_file.write_bytes(data[1:])
            tally.tell(f"{input_file.name}: {verdict.words}")

    limits = [f"-max_total_time={max(int(config.seconds), 1)}", f"-runs={config.cases or -1}", f"-max_len={MOST_BYTES}"]
    atheris.Setup(
        [sys.argv[0], str(config.corpus), *limits, "-rss_limit_mb=0", "-malloc_limit_mb=0", "-timeout=60", "-seed=1",
         f"-artifact_prefix={config.corpus.parent}/ended_"],
        one, custom_mutator=changed)  # fmt: skip
    atheris.Fuzz()


if __name__ == "__main__":
    start(main, GuidedConfig)

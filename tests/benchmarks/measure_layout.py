"""How far a reader has to walk: files, lines, what a stage imports, what a step runs, and what stands twice.

    python tests/benchmarks/measure_layout.py                  measures this tree
    python tests/benchmarks/measure_layout.py --trees A B      other checkouts, beside each other

Prints a table and writes nothing: every commit changes these numbers, so that a stored one would be another tree's.
Product code is every .py file that git tracks outside tests/, without __init__.py.
"""

import argparse
import ast
import io
import json
import os
import runpy
import subprocess
import sys
import tempfile
import tokenize
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
STAGES = {"stage 1": "sample/train_enc_dec.py", "stage 4": "sample/train_SMPL_from_enc.py"}
WEIGHTS = Path("models") / "assets" / "open_weights.pt"
SETTINGS = (
    "--name step --device cpu --optim.steps 4 --optim.no-bf16 --loop.workers 0 --loop.log-every 100 "
    "--loop.validate-every 100 --loop.checkpoint-every 100 --subjects.train 1 5 --subjects.labelled 1 "
    "--subjects.test 9 --subjects.held-out 4 1"
)
"""Of the measured run: the default networks and batches, on the tests' tiny data set; nothing is written between."""
LONGEST_SHARED = 12
"""Places that share more lines than this are counted."""


def git(tree: Path, *words: str) -> str:
    """Ask git about a tree."""
    return subprocess.run(["git", "-C", str(tree), *words], capture_output=True, text=True, check=True).stdout


def product_files(tree: Path) -> list[Path]:
    """List the program's files."""
    files = [Path(line) for line in git(tree, "ls-files", "*.py").splitlines()]
    return [file for file in files if file.parts[0] != "tests" and file.name != "__init__.py"]


def num_lines(path: Path) -> int:
    """Count all lines of a file."""
    return len(path.read_text().splitlines())


def imported_files(tree: Path, file: Path) -> set[Path]:
    """Find the program's files that a file imports, also inside its functions."""
    names = set()
    for node in ast.walk(ast.parse((tree / file).read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    places = {Path(*name.split(".")) for name in names}
    ends = [end for place in places for end in (place.with_suffix(".py"), place / "__init__.py")]
    return {end for end in ends if (tree / end).is_file()}


def closure(tree: Path, start: Path) -> set[Path]:
    """Follow the imports of a script to their end; __init__.py is followed, but is no file to read."""
    found, todo = {start}, [start]
    while todo:
        new = imported_files(tree, todo.pop()) - found
        found |= new
        todo += new
    return {file for file in found if file.name != "__init__.py"}


def code_lines(text: str) -> list[tuple[int, str]]:
    """Give the lines that can be shared: white space folded, without blank lines, comments and imports."""
    lines = text.splitlines()
    left_out = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            left_out |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    folded = ((number, " ".join(line.split())) for number, line in enumerate(lines, start=1))
    return [(number, line) for number, line in folded if line and number not in left_out]


def shared_runs(files: dict[str, list[tuple[int, str]]], length: int) -> dict[tuple[str, ...], list[tuple[str, int]]]:
    """Find runs of so many lines that stand in two places or more: their lines, and where they are."""
    places: dict[tuple[str, ...], list[tuple[str, int]]] = defaultdict(list)
    for name, lines in files.items():
        for first in range(len(lines) - length + 1):
            places[tuple(line for _, line in lines[first : first + length])].append((name, first))
    return {run: where for run, where in places.items() if apart(where, length)}


def apart(where: list[tuple[str, int]], length: int) -> bool:
    """Tell whether two of the places do not overlap."""
    (name, first), (last_name, last) = where[0], where[-1]
    return last_name != name or last - first >= length


def longest_shared(tree: Path, product: list[Path]) -> dict[str, Any]:
    """Find the longest run of lines that stands twice, and how many places share more than twelve."""
    files = {str(file): code_lines((tree / file).read_text()) for file in product}
    low, high = 0, max(map(len, files.values()))
    while low < high:  # a run of n lines holds one of n - 1, so the length can be halved towards
        middle = (low + high + 1) // 2
        low, high = (middle, high) if shared_runs(files, middle) else (low, middle - 1)
    if low == 0:
        return {"lines": 0, "places": [], "pairs_over_12": 0}
    where = next(iter(shared_runs(files, low).values()))
    over = shared_runs(files, LONGEST_SHARED + 1).values()
    pairs = {(one[0][0], one[-1][0]) for one in over}
    places = [f"{name}:{files[name][first][0]}" for name, first in (where[0], where[-1])]
    return {"lines": low, "places": places, "pairs_over_12": len(pairs)}


class StepProfile:
    """Notes which of the program's functions run between the ends of two steps of the optimizer."""

    def __init__(self, tree: Path, product: list[Path]) -> None:
        self.files = {str(tree / file): str(file) for file in product}
        self.calls: list[tuple[str, str]] = []
        self.steps = 0

    def note(self, frame: FrameType, event: str, argument: object) -> None:
        """Note a call of one of the program's named functions."""
        del argument
        code = frame.f_code
        if event == "call" and code.co_filename in self.files and not code.co_name.startswith("<"):
            self.calls.append((self.files[code.co_filename], code.co_qualname))

    def after_step(self, *_: object) -> None:
        """Begin after the second step, when nothing is done for the first time any more, and end after the third."""
        self.steps += 1
        if self.steps == 2:
            sys.setprofile(self.note)
        elif self.steps == 3:
            sys.setprofile(None)

    def summary(self) -> dict[str, int]:
        """Count functions, files, and how often the next call stands in another file than the one before."""
        files = [file for file, _ in self.calls]
        changes = sum(one != other for one, other in pairwise(files))
        return {"functions": len(set(self.calls)), "files": len(set(files)), "changes_of_file": changes}


def write_tiny_data(tree: Path, root: Path) -> list[str]:
    """Write the tests' tiny data set; give the flags that name it."""
    tiny = runpy.run_path(str(next((tree / "tests").rglob("tiny_h36m.py"))))
    tiny["write_tiny_h36m"](root, subjects=(1, 5), actions=(2, 3, 4), frames=3, size_px=96, ending="png")
    kinds = {"h36m": "frames", "masks": "masks", "backgrounds": "backgrounds", "index": "index", "truth": "truth",
             "runs": "runs"}  # fmt: skip
    flags = [word for name, folder in kinds.items() for word in (f"--paths.{name}-location", str(root / folder))]
    for script, more in (("h36m_preprocess", ["--processes", "1"]), ("h36m_get_background", [])):
        run(tree / "dataset_def" / f"{script}.py", *flags, *more)
    return flags


def run(script: Path, *words: str) -> None:
    """Run a script as from a command line."""
    sys.argv = [str(script), *words]
    runpy.run_path(str(script), run_name="__main__")


def profile_step(tree: Path, stage: str) -> dict[str, int]:
    """Run four steps of a stage on the tiny data set and note the third."""
    from torch.optim.optimizer import register_optimizer_step_post_hook

    options = SETTINGS + (f" --encoder {tree / WEIGHTS} --silhouettes-of 1 5" if stage == "stage 4" else "")
    profile = StepProfile(tree, product_files(tree))
    with tempfile.TemporaryDirectory() as folder:
        flags = write_tiny_data(tree, Path(folder))
        register_optimizer_step_post_hook(profile.after_step)
        run(tree / STAGES[stage], *flags, *options.split())
    return profile.summary()


def profile_apart(tree: Path, stage: str) -> dict[str, int]:
    """Profile in a process of its own, which imports nothing but the tree."""
    command = [sys.executable, __file__, "--trees", str(tree), "--profile", stage]
    environment = os.environ | {"PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tree, env=environment)
    if done.returncode:
        raise RuntimeError(f"a step of {stage} could not be run:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def measure(tree: Path) -> dict[str, Any]:
    """Measure a tree."""
    product = product_files(tree)
    stage_1 = closure(tree, Path(STAGES["stage 1"]))
    return {
        "product_files": len(product),
        "product_lines": sum(num_lines(tree / file) for file in product),
        "stage_1_imports_files": len(stage_1),
        "stage_1_imports_lines": sum(num_lines(tree / file) for file in stage_1),
        "config_lines": num_lines(tree / "config.py"),
        "readme_lines": num_lines(tree / "README.md"),
        "longest_shared": longest_shared(tree, product),
        **{f"step_of_{stage.replace(' ', '_')}": profile_apart(tree, stage) for stage in STAGES},
    }


def rows_of(found: dict[str, Any]) -> dict[str, str]:
    """Lay out the numbers of one tree."""
    shared = found["longest_shared"]
    steps = {f"one step of {stage}: functions / files / changes of file": found[f"step_of_{stage.replace(' ', '_')}"]
             for stage in STAGES}  # fmt: skip
    return {
        "files / lines of product code": f"{found['product_files']} / {found['product_lines']:,}",
        "stage 1 imports, files / lines": f"{found['stage_1_imports_files']} / {found['stage_1_imports_lines']:,}",
        **{name: " / ".join(map(str, step.values())) for name, step in steps.items()},
        "config.py, lines": f"{found['config_lines']:,}",
        "README.md, lines": f"{found['readme_lines']:,}",
        "longest run of lines that stands twice": f"{shared['lines']} ({' and '.join(shared['places'])})",
        "pairs of files that share more than 12 lines": str(shared["pairs_over_12"]),
    }


def table_of(measured: dict[str, dict[str, Any]]) -> str:
    """Write the trees side by side, by their commits."""
    columns = {commit: rows_of(found) for commit, found in measured.items()}
    lines = ["| commit | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    names = next(iter(columns.values()))
    lines += [f"| {name} | " + " | ".join(rows[name] for rows in columns.values()) + " |" for name in names]
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    reader = argparse.ArgumentParser(description="Measure how far a reader has to walk.")
    reader.add_argument("--trees", type=Path, nargs="+", default=[ROOT], help="the checkouts that are measured")
    reader.add_argument("--profile", choices=tuple(STAGES), help="only run a step, here and now, and print its numbers")
    options = reader.parse_args()
    trees = [tree.resolve() for tree in options.trees]
    if options.profile:
        print(json.dumps(profile_step(trees[0], options.profile)))
        return
    print(table_of({git(tree, "rev-parse", "--short", "HEAD").strip(): measure(tree) for tree in trees}))


if __name__ == "__main__":
    main()

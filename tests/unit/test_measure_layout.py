"""What the script that measures the layout counts, on a tree of three files."""

import subprocess
from pathlib import Path

import pytest

from tests.benchmarks.measure_layout import closure, code_lines, longest_shared, product_files

TWICE = "def twice(values):\n    total = 0\n    for value in values:\n        total += 2 * value\n    return total\n"


@pytest.fixture
def tree(tmp_path) -> Path:
    files = {
        "sample/train.py": "import json\n\n\ndef main():\n    from models import net\n\n    return net\n",
        "models/__init__.py": "",
        "models/net.py": f"from utils.shapes import (\n    volume,\n)\n\n# why\n{TWICE}",
        "utils/shapes.py": f"volume = 1\n\n{TWICE}".replace("    for", "    for  ").replace("= 0", "= 0  # none yet"),
        "utils/lonely.py": "alone = 1\n",
        "tests/test_net.py": TWICE,
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    subprocess.run(["git", "-C", str(tmp_path), "add", "-A"], check=True)
    return tmp_path


def test_tests_and_empty_inits_are_no_product_code(tree):
    names = {str(file) for file in product_files(tree)}
    assert names == {"sample/train.py", "models/net.py", "utils/shapes.py", "utils/lonely.py"}


def test_imports_inside_functions_count_and_what_nobody_imports_does_not(tree):
    found = {str(file) for file in closure(tree, Path("sample/train.py"))}
    assert found == {"sample/train.py", "models/net.py", "utils/shapes.py"}


def test_imports_comments_and_blank_lines_are_not_shared(tree):
    assert [line for _, line in code_lines((tree / "models/net.py").read_text())] == [
        " ".join(one.split()) for one in TWICE.splitlines()
    ]


def test_the_longest_run_that_stands_twice_is_found(tree):
    found = longest_shared(tree, product_files(tree))
    assert found["lines"] == 5 and set(found["places"]) == {"models/net.py:6", "utils/shapes.py:3"}
    assert found["pairs_over_12"] == 0

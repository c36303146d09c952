"""Damaged and hostile files of every kind end in one sentence with the file's name; the slow run tries far more."""

import os
import pickle
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks.fuzz import FuzzConfig, main, tried
from tests.helpers.file_readers import READERS

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits its own processes as Linux does")


@LINUX
@pytest.mark.parametrize("cases", [8, pytest.param(1000, marks=pytest.mark.slow)])
def test_damaged_files_end_in_one_sentence(cases):
    found = main(FuzzConfig(cases=cases, seconds=600, first=10**6, result=None))
    assert found.keys() == READERS.keys()
    wrong = {name: counts["examples"] for name, counts in found.items()
             if counts["foreign_errors"] or counts["over_limit"]}  # fmt: skip
    assert not wrong, wrong
    assert sum(counts["refused"] for counts in found.values()) > 0.3 * sum(counts["cases"] for counts in found.values())


def test_where_atheris_is_missing_coverage_cannot_choose_and_a_sentence_says_so(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match="--guided needs the package atheris, which is not installed; pip install"):
        main(FuzzConfig(guided=True, readers=("amc",), result=None))


def test_guided_readers_share_the_time_however_long_it_takes_to_start_them(monkeypatch):
    clock_s, given_s = [0.0], []

    def starts_slowly(name, is_ours, config, seconds):
        clock_s[0] += 100
        given_s.append(seconds)
        return {"cases": 1, "foreign_errors": 0, "over_limit": 0}

    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    monkeypatch.setattr("time.monotonic", lambda: clock_s[0])
    monkeypatch.setattr("tests.benchmarks.fuzz.fuzz_guided", starts_slowly)
    main(FuzzConfig(guided=True, readers=("amc", "asf", "history"), seconds=90, result=None))
    assert given_s == [30, 30, 30]


@LINUX
def test_where_atheris_is_installed_coverage_chooses(tmp_path):
    pytest.importorskip("atheris", reason="atheris is not installed, and nothing else needs it")
    [found] = main(FuzzConfig(guided=True, readers=("amc",), seconds=10, kept=tmp_path, result=None)).values()
    assert found["cases"] > 100 and found["places_of_code_last"] > found["places_of_code_first"]
    assert not found["foreign_errors"] and not found["over_limit"], found["examples"]


@pytest.mark.parametrize("name", READERS)
def test_whole_files_are_read(tmp_path, name):
    for path in READERS[name].write(tmp_path):
        READERS[name].read(path)


class Calls:
    """Pickles as a call of a function."""

    def __init__(self, function, *arguments):
        self.parts = (function, arguments)

    def __reduce__(self):
        return self.parts


def hostile(mark: Path) -> list[bytes]:
    """Write pickles that would leave a mark if they were run, in several ways and protocols."""
    calls = [Calls(os.system, f"touch {mark}"), Calls(eval, f"open({str(mark)!r}, 'w')"), Calls(open, str(mark), "w"),
             Calls(exec, f"open({str(mark)!r}, 'w')"), Calls(np.save, f"{mark}.npy", np.zeros(1))]  # fmt: skip
    written = [pickle.dumps({"v_template": one, "points": one}, protocol) for one in calls for protocol in (0, 2, 4)]
    named = f"cos\nsystem\n(S'touch {mark}'\ntR.".encode()
    stacked = (
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c"
        + bytes([len(f"touch {mark}")])
        + f"touch {mark}".encode()
        + b"\x85R."
    )
    return [*written, named, stacked]


def packed(content: bytes, path: Path) -> None:
    """Put a pickle where an archive of arrays, or of PyTorch, has one."""
    header = b"\x93NUMPY\x01\x00v\x00" + b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }".ljust(117) + b"\n"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", content)
        archive.writestr("archive/version", "3\n")
        archive.writestr("v_template.npy", header + content)


@pytest.mark.parametrize("name", READERS)
def test_pickles_that_run_code_are_refused_by_every_reader(tmp_path, name):
    mark, reader = tmp_path / "mark", READERS[name]
    (tmp_path / "files").mkdir()
    for path in reader.write(tmp_path / "files"):
        whole = path.read_bytes()
        for content in hostile(mark):
            for put in (lambda path, content=content: path.write_bytes(content),
                        lambda path, content=content: packed(content, path)):  # fmt: skip
                put(path)
                verdict = tried(reader, path)
                assert verdict.kind == "refused", (path.name, content[:60], verdict)
        path.write_bytes(whole)
    assert not list(tmp_path.glob("mark*"))

"""Readers of NumPy's and MATLAB's files give what their writers wrote, and refuse promises that a file cannot keep."""

import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from utils.mat_arrays import read_mat
from utils.safe_arrays import Archive, array_in, read_array, read_arrays
from utils.safe_pickle import load_records, to_array

ARRAYS = {
    "many rows of nothing": np.zeros((2160, 3, 0), np.float32),
    "floats": np.arange(6.0).reshape(2, 3), "fortran": np.asfortranarray(np.arange(6, dtype=np.int16).reshape(2, 3)),
    "big": np.arange(4, dtype=">f4"), "text": np.array(["one", "two\xe9"]), "bytes": np.array(b"abc"),
    "number": np.array(7), "truth": np.array([True, False]), "none": np.zeros((0, 5), np.float32), "word": np.array(""),
}  # fmt: skip


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_come_back_as_numpy_reads_them(tmp_path, name):
    np.save(tmp_path / "a.npy", ARRAYS[name])
    found, theirs = read_array(tmp_path / "a.npy"), np.load(tmp_path / "a.npy")
    assert found.dtype == theirs.dtype and found.shape == theirs.shape and np.array_equal(found, theirs)
    assert found.flags.writeable


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_archives_come_back(tmp_path, save):
    save(tmp_path / "a.npz", **ARRAYS)
    found = read_arrays(tmp_path / "a.npz")
    assert found.keys() == ARRAYS.keys() and all(np.array_equal(found[name], ARRAYS[name]) for name in ARRAYS)


def npy(header: bytes, data: bytes = bytes(16)) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data


PROMISES = {
    "terabytes": b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000, 1000000), }",
    "more than counts": b"{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999999999999,), }",
    "nothing, often": b"{'descr': '<f8', 'fortran_order': False, 'shape': (0, 99999999999), }",
    "words of no length": b"{'descr': '<U0', 'fortran_order': False, 'shape': (99999999999,), }",
    "objects": b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }",
    "records": b"{'descr': [('a', '|O')], 'fortran_order': False, 'shape': (1,), }",
    "code": b"__import__('os').system('true')",
    "letters that there are not": b"{'descr': '<U1', 'fortran_order': False, 'shape': (1,), }",
}  # fmt: skip


@pytest.mark.parametrize("what", PROMISES)
def test_a_file_that_promises_what_it_does_not_hold_is_refused(what):
    with pytest.raises(ValueError, match=r"promises|other things|letters"):
        array_in(npy(PROMISES[what], b"\xff" * 16))


def test_an_archive_that_unpacks_into_far_more_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", bytes(1000))
    content = bytearray((tmp_path / "a.npz").read_bytes())
    place = content.rfind(b"PK\x01\x02")
    content[place + 24 : place + 28] = (1 << 31).to_bytes(4, "little")
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(ValueError, match="more than it can hold"):
        Archive(tmp_path / "a.npz")


@pytest.mark.parametrize("packs", [False, True])
def test_matlab_files_come_back_as_scipy_reads_them(tmp_path, packs):
    content = {"joints": np.random.default_rng(0).normal(size=(4, 17, 3)), "small": np.arange(3.0),
               "whole": np.arange(5, dtype=np.int32), "grey": np.arange(4, dtype=np.uint8), "none": np.zeros((0, 3)),
               "name": "opencv"}  # fmt: skip
    scipy.io.savemat(tmp_path / "a.mat", content | {"cells": np.array([[1], "a"], object)}, do_compression=packs)
    found, theirs = read_mat(tmp_path / "a.mat"), scipy.io.loadmat(tmp_path / "a.mat")
    for name in content:
        assert np.array_equal(found[name], theirs[name]) and found[name].shape == theirs[name].shape, name
    assert found["cells"].dtype == object and list(read_mat(tmp_path / "a.mat", ["grey"])) == ["grey"]


def test_a_small_array_of_matlab_by_hand(tmp_path):
    """One byte in a small element, of class double: 5."""
    head = b"MATLAB 5.0".ljust(124) + b"\x00\x01IM"
    parts = (b"\x06\0\0\0\x08\0\0\0" + b"\x06\0\0\0\0\0\0\0" + b"\x05\0\0\0\x08\0\0\0" + b"\x01\0\0\0\x01\0\0\0"
             + b"\x01\0\x01\0a\0\0\0" + b"\x02\0\x01\0\x05\0\0\0")  # fmt: skip
    (tmp_path / "a.mat").write_bytes(head + b"\x0e\0\0\0" + len(parts).to_bytes(4, "little") + parts)
    assert read_mat(tmp_path / "a.mat") == {"a": np.array([[5.0]])}
    longer = parts.replace(b"\x01\0\0\0\x01\0\0\0", b"\xff\xff\xff\x0f\xff\xff\xff\x0f")
    (tmp_path / "a.mat").write_bytes(head + b"\x0e\0\0\0" + len(longer).to_bytes(4, "little") + longer)
    with pytest.raises(ValueError, match=r"a promises \[268435455, 268435455\] numbers"):
        read_mat(tmp_path / "a.mat")


@pytest.mark.parametrize("content", [b"\x80\x02]r\xff\xff\xff\x7f.", b"]p99999999999\n."])
def test_a_pickle_that_remembers_far_away_is_refused_before_room_is_made(content):
    with pytest.raises(ValueError, match="remembers something at place"):
        load_records(io.BytesIO(content))


def test_lists_that_hold_each_other_again_and_again_are_no_array():
    part: list = [1.0]
    for _ in range(40):
        part = [part] * 2
    value = load_records(io.BytesIO(pickle.dumps({"a": part})))["a"]
    with pytest.raises(ValueError, match="more than 1000000 entries"):
        to_array(value)
    assert to_array([[1, 2], [3, 4]]).tolist() == [[1, 2], [3, 4]]


def test_the_embedded_body_is_read_as_numpy_reads_it():
    path = Path(__file__).parents[3] / "models" / "assets" / "open_body.npz"
    with np.load(path) as theirs:
        found = read_arrays(path)
        assert all(np.array_equal(found[name], theirs[name]) for name in theirs.files)

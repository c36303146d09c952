"""Values of calibration files that are not bound to one format: OpenCV's YAML and JSON, rotations in either form."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from dataset_def.multiview.calibration import numbers, proper_rotation

Tree = dict[str, Any]
MATRIX_KEYS = {"rows", "cols", "dt", "data"}
"""What OpenCV writes of a matrix."""


def rotation_of(value: object, what: str) -> Float[np.ndarray, "3 3"]:
    """Read a rotation: a 3 x 3 matrix, or a rotation vector in radians as OpenCV's Rodrigues makes it."""
    found = numbers(value, what, (3, 3), (3,))
    return proper_rotation(found, what) if found.ndim == 2 else Rotation.from_rotvec(found).as_matrix()


def read_tree(path: Path) -> Tree:
    """Read a YAML or JSON file into dictionaries, lists, texts, numbers, and arrays for OpenCV's matrices.

    Raises:
        ValueError: neither YAML nor JSON, or not by name.
    """
    text = path.read_text(errors="replace")
    is_json = path.suffix.lower() == ".json" or text.lstrip()[:1] == "{"
    try:
        tree = _plain(json.loads(text)) if is_json else _read_yaml(text)
    except (ValueError, TypeError, KeyError, RecursionError, SystemError, cv2.error) as error:
        kind = "JSON" if is_json else "YAML"
        reason = str(error).strip().splitlines()[-1][:120] if str(error).strip() else "empty or damaged"
        raise ValueError(f"{path} cannot be read as {kind} ({reason}); write the calibration again") from error
    if not isinstance(tree, dict) or not tree:
        raise ValueError(f"{path} does not hold values by name; see --help for the keys that are read")
    return tree


def _plain(value: object) -> Any:
    """Turn what json read into the same tree as a YAML file."""
    if isinstance(value, dict):
        if value.keys() >= MATRIX_KEYS:
            return np.array(value["data"], dtype=float).reshape(int(value["rows"]), int(value["cols"]))
        return {key: _plain(part) for key, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, list) else value


def _read_yaml(text: str) -> Any:
    """Read YAML with OpenCV's own parser, which knows its matrices."""
    flags = cv2.FILE_STORAGE_READ | cv2.FILE_STORAGE_MEMORY | cv2.FILE_STORAGE_FORMAT_YAML
    storage = cv2.FileStorage(text, flags)
    try:
        return _node(storage.root()) if storage.isOpened() else {}
    finally:
        storage.release()


def _node(node: cv2.FileNode) -> Any:
    """Turn a node of OpenCV's storage into a plain value."""
    if node.isMap():
        keys = node.keys()
        if set(keys) >= MATRIX_KEYS:
            return np.asarray(node.mat(), dtype=float)
        return {key: _node(node.getNode(key)) for key in keys}
    if node.isSeq():
        return [_node(node.at(i)) for i in range(node.size())]
    if node.isInt() or node.isReal():
        return node.real()
    return node.string() if node.isString() else None


def yaml_matrix(name: str, value: Float[np.ndarray, "r c"], indent: str = "") -> str:
    """Write a matrix as OpenCV's FileStorage does."""
    data = ", ".join(repr(float(number)) for number in value.ravel())
    head = f"{indent}{name}: !!opencv-matrix"
    rows, columns = value.shape
    return "\n".join([head, *(f"{indent}   {line}" for line in
                              (f"rows: {rows}", f"cols: {columns}", "dt: d", f"data: [ {data} ]"))])  # fmt: skip

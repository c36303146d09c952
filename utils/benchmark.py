"""Results of benchmarks and experiments as json: the numbers with hardware, versions, protocol and commit."""

import json
from pathlib import Path
from typing import Any

from utils.artifacts import commit, whole_file
from utils.machine import hardware, versions


def save_result(path: Path, protocol: str, **content: Any) -> None:
    """Write one result file; units belong in the keys."""
    about = {"protocol": protocol, "hardware": hardware(), "versions": versions(), "commit": commit()}
    with whole_file(path) as partial:
        partial.write_text(json.dumps(about | content, indent=1, allow_nan=False) + "\n")

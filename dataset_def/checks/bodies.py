"""Looks at the body model."""

from config import Paths
from dataset_def.checks.line import Line, sentence
from dataset_def.h36m_files import DAMAGED
from utils.body_file import BodyFile, read_body_file, read_h36m_regressor
from utils.settings import short

FAULTS = (*DAMAGED, FileNotFoundError)


def check_body(paths: Paths) -> list[Line]:
    """Describe the body file and its 17-joint regressor."""
    path, usual = paths.models_smpl_location, Paths()
    is_asked = path != usual.models_smpl_location
    try:
        body = read_body_file(path)
    except FAULTS as error:
        return [Line("bad", "body model", sentence(error), "prior, mesh and embedded data",
                     "python dataset_def/open_body.py", is_asked)]  # fmt: skip
    vertices, _, directions = body.shapedirs.shape
    found = f"{short(path)}: {vertices} vertices, {len(body.parents)} joints, {directions} shape directions"
    return [Line("ok", "body model", found), _regressor(paths, body)]


def _regressor(paths: Paths, body: BodyFile) -> Line:
    """Tell where the 17 joints come from."""
    what, path = "17-joint regressor", paths.h36m_regressor_location
    if path is None:
        if body.J_regressor_h36m is not None:
            return Line("ok", what, "in the body file")
        return Line("note", what, "the body file has none", "joint losses and metrics of meshes",
                    "give J_regressor_h36m_correct.npy with --paths.h36m-regressor-location")  # fmt: skip
    try:
        read_h36m_regressor(path, len(body.v_template))
    except FAULTS as error:
        return Line("bad", what, sentence(error), "joint losses and metrics of meshes", is_asked=True)
    return Line("ok", what, short(path))

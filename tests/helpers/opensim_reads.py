"""What OpenSim makes of our files; to be called in a folder where it may leave its log."""

import re
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from utils.skeleton import SMPL_24


def moved_joints_m(osim: Path, mot: Path, frames: tuple[int, ...]) -> np.ndarray:
    """Set a model's coordinates to some rows of a .mot, and give where its bodies then are, (frames, 24, 3)."""
    import opensim

    model = opensim.Model(str(osim))
    state = model.initSystem()
    table = opensim.TimeSeriesTable(str(mot))
    found = []
    for frame in frames:
        for name, value in zip(table.getColumnLabels(), table.getRowAtIndex(frame).to_numpy(), strict=True):
            is_place = re.search("_t[xyz]$", name)
            model.getCoordinateSet().get(name).setValue(state, value if is_place else np.radians(value), False)
        model.realizePosition(state)
        found.append([model.getBodySet().get(name).getPositionInGround(state).to_numpy() for name in SMPL_24])
    return np.array(found)


def rotations_by_kinematics(osim: Path, trc: Path, to: Path, last_s: float) -> np.ndarray:
    """Let OpenSim's inverse kinematics find the angles from the markers; rotations (frames, 24, 3, 3)."""
    import opensim

    tool = opensim.InverseKinematicsTool()
    model = opensim.Model(str(osim))  # the tool does not keep it alive
    tool.setModel(model)
    tool.setMarkerDataFileName(str(trc))
    tool.setOutputMotionFileName(str(to))
    tool.setStartTime(0.0)
    tool.setEndTime(last_s)
    assert tool.run()
    table = opensim.TimeSeriesTable(str(to))
    column = {name: k for k, name in enumerate(table.getColumnLabels())}
    rows = np.stack([table.getRowAtIndex(frame).to_numpy() for frame in range(table.getNumRows())])
    angles_deg = np.stack([rows[:, [column[f"{name}_{axis}"] for axis in "zxy"]] for name in SMPL_24], axis=1)
    return Rotation.from_euler("ZXY", angles_deg.reshape(-1, 3), degrees=True).as_matrix().reshape(-1, 24, 3, 3)

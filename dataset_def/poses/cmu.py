"""CMU's .asf / .amc: motions of a skeleton, put on the body's joints."""

from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from dataset_def.acclaim import clip_files, place, read_amc, read_asf, to_body
from dataset_def.poses.recording import Recording, check_theta, spread_rows
from dataset_def.synthetic.limbs import REST_JOINTS_M


def find_cmu(folder: Path, beginnings: tuple[str, ...]) -> list[tuple[Path, Path]]:
    """List the motions whose names begin so, each with its skeleton; all if no beginnings are given.

    Raises:
        FileNotFoundError: there are none.
    """
    pairs = [pair for pair in clip_files(folder) if not beginnings or pair[0].name.startswith(beginnings)]
    if not pairs:
        raise FileNotFoundError(f"{folder} holds no .amc file that begins with {' or '.join(beginnings)}")
    return pairs


def read_cmu(motion: Path, skeleton: Path, most_frames: int) -> Recording:
    """Read a motion and give the body the same bones' directions.

    Raises:
        ValueError: damaged, or of another skeleton.
    """
    bones = read_asf(skeleton)
    clip = read_amc(motion, bones)
    rows = spread_rows(len(clip.root_m), most_frames)
    clip = clip._replace(root_m=clip.root_m[rows], rotations={name: R[rows] for name, R in clip.rotations.items()})
    rotations = to_body(bones, place(bones, clip), REST_JOINTS_M)
    theta = Rotation.from_matrix(rotations.reshape(-1, 3, 3)).as_rotvec().reshape(len(rows), 72)
    return Recording(motion.stem, check_theta(motion, np.asarray(theta)))

"""Readers of pose files, each on files written in its own format; the cache; the split by sequence."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
from scipy.spatial.transform import Rotation

from config import ROOT, PoseSources
from dataset_def.acclaim import BONE_OF_JOINT, BONE_TARGETS, place_bones, read_amc, read_asf
from dataset_def.poses import sources as pose_cache
from dataset_def.poses.readers import (
    find_amass,
    find_cmu,
    find_surreal,
    generate_recording,
    is_bad,
    read_amass,
    read_cmu,
    read_surreal,
    rest_joints_m,
    spread_rows,
)
from dataset_def.smpl_params_data import ParameterData, describe_poses, held_out_recordings, is_smpl, open_tables
from models.smpl import load_body, rotations_from_theta
from tests.unit.dataset_def.test_acclaim import AMC, ASF
from utils.skeleton import SMPL_24

CMU = ROOT.parent / "shared" / "data" / "cmu"
needs_cmu = pytest.mark.skipif(not CMU.is_dir(), reason=f"no motion capture files in {CMU}")
BODY = ROOT / "models" / "assets" / "open_body.npz"
RNG = np.random.default_rng(0)


def write_surreal(root: Path, sequence: str, frames: int, clip: int = 1, squeezed: bool = False) -> Path:
    """As MATLAB has it; SciPy writes (72, 1) as it is, but files of one frame are found without their last axis."""
    path = root / "train" / "run0" / sequence / f"{sequence}_c{clip:04d}_info.mat"
    path.parent.mkdir(parents=True, exist_ok=True)
    pose = RNG.normal(0, 0.3, (72, frames)).astype(np.float32)
    shape = np.repeat(RNG.normal(size=(10, 1)).astype(np.float32), frames, axis=1)
    content = {"pose": pose, "shape": shape, "gender": np.ones((frames, 1), np.uint8), "sequence": sequence}
    if squeezed:
        content |= {"pose": pose[:, 0], "shape": shape[:, 0]}
    scipy.io.savemat(path, content)
    return path


def write_amass(root: Path, name: str, frames: int) -> Path:
    path = root / f"{name}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, poses=RNG.normal(0, 0.3, (frames, 156)), trans=np.zeros((frames, 3)), betas=RNG.normal(size=16),
             gender=np.array("female"), mocap_framerate=120.00004577, dmpls=np.zeros((frames, 8)))  # fmt: skip
    return path


def test_clips_of_surreal_are_read_with_their_shape(tmp_path):
    path = write_surreal(tmp_path, "01_01", 5)
    content = scipy.io.loadmat(path)
    read = read_surreal(path, most_frames=100)
    np.testing.assert_array_equal(read.theta, content["pose"].T)
    np.testing.assert_array_equal(read.betas, content["shape"][:, 0])
    assert read.name == "01_01"
    assert len(read_surreal(path, most_frames=2).theta) == 2


@pytest.mark.parametrize("squeezed", [False, True])
def test_clips_of_one_frame_keep_it_also_when_the_last_axis_is_lost(tmp_path, squeezed):
    path = write_surreal(tmp_path, "02_02", 1, squeezed=squeezed)
    read = read_surreal(path, most_frames=100)
    np.testing.assert_array_equal(read.theta, scipy.io.loadmat(path)["pose"].reshape(1, 72))
    assert read.betas is not None and read.betas.shape == (10,)


def test_sequences_of_surreal_that_are_known_to_be_bad_are_left_out_and_counted(tmp_path):
    for sequence in ("18_02", "19_15", "143_21", "143_22", "118_01"):
        write_surreal(tmp_path, sequence, 2)
    found, skipped = find_surreal(tmp_path)
    assert [path.parent.name for path in found] == ["118_01", "143_22"] and skipped == 3
    assert is_bad("18") and not is_bad("180_01") and not is_bad("143_2")


def test_motions_of_amass_are_read_and_the_hands_stay_at_rest(tmp_path):
    path = write_amass(tmp_path, "KIT/3/walk_poses", 7)
    np.savez(tmp_path / "KIT" / "3" / "shape.npz", betas=np.zeros(16))
    files, skipped = find_amass(tmp_path)
    assert files == [path] and skipped == 1
    read = read_amass(path, tmp_path, most_frames=100)
    stored = np.load(path)
    np.testing.assert_allclose(read.theta[:, :66], stored["poses"][:, :66], rtol=1e-6)
    assert (read.theta[:, 66:] == 0).all() and read.name == "KIT/3/walk_poses"
    np.testing.assert_allclose(read.betas, stored["betas"][:10], rtol=1e-6)


def test_bad_files_are_named_with_a_remedy(tmp_path):
    surreal = write_surreal(tmp_path, "03_01", 4)
    surreal.write_bytes(surreal.read_bytes()[:200])
    with pytest.raises(ValueError, match=r"03_01_c0001_info\.mat.*fetch it again"):
        read_surreal(surreal, 10)
    scipy.io.savemat(surreal, {"pose": np.zeros((72, 3))})
    with pytest.raises(ValueError, match=r"shape.*fetch it again"):
        read_surreal(surreal, 10)
    scipy.io.savemat(surreal, {"pose": np.full((72, 3), np.nan), "shape": np.zeros((10, 3))})
    with pytest.raises(ValueError, match="not finite"):
        read_surreal(surreal, 10)
    amass = write_amass(tmp_path, "a", 4)
    amass.write_bytes(amass.read_bytes()[:300])
    with pytest.raises(ValueError, match=r"a\.npz.*fetch it again"):
        read_amass(amass, tmp_path, 10)
    np.savez(amass, poses=np.zeros((4, 63)), betas=np.zeros(16))
    with pytest.raises(ValueError, match=r"\(4, 63\)"):
        read_amass(amass, tmp_path, 10)
    for find in (find_surreal, find_amass):
        with pytest.raises(FileNotFoundError, match="give the folder"):
            find(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="begins with 77"):
        (tmp_path / "09.asf").write_text(ASF)
        (tmp_path / "09_01.amc").write_text(AMC)
        find_cmu(tmp_path, ("77",))


@needs_cmu
def test_a_real_motion_has_the_hips_high_knees_one_way_and_elbows_about_one_axis():
    [(motion, skeleton)] = find_cmu(CMU, ("02_01",))
    read = read_cmu(motion, skeleton, rest_joints_m(BODY), most_frames=30)
    assert read.theta.shape == (30, 72) and read.betas is None and read.name == "02_01"
    vectors = read.theta.reshape(-1, 24, 3)
    for side, sign in (("left", -1), ("right", 1)):
        elbow = np.degrees(vectors[:, SMPL_24.index(f"{side}_elbow")])
        assert (sign * elbow[:, 1] > 0).all() and np.abs(elbow[:, [0, 2]]).max() < 10, "bends about y, as the body's"
        assert np.median(vectors[:, SMPL_24.index(f"{side}_knee"), 0]) > 0.1


@needs_cmu
def test_the_body_s_own_limbs_point_where_the_recorded_ones_point():
    [(motion, skeleton)] = find_cmu(CMU, ("02_01",))
    read = read_cmu(motion, skeleton, rest_joints_m(BODY), most_frames=8)
    body, bones = load_body(BODY), read_asf(skeleton)
    rotations = rotations_from_theta(torch.from_numpy(read.theta))
    joints_m = body(rotations, torch.zeros(8, 10), torch.zeros(8, 3)).joints_m.double().numpy()
    clip = read_amc(motion, bones)
    turned = place_bones(bones, clip).turned
    rows = spread_rows(len(clip.root_m), 8)
    for start, end in BONE_TARGETS.items():
        own = joints_m[:, SMPL_24.index(end)] - joints_m[:, SMPL_24.index(start)]
        recorded = turned[BONE_OF_JOINT[start]][rows] @ bones.bones[BONE_OF_JOINT[start]].direction
        cosine = (own * recorded).sum(1) / np.linalg.norm(own, axis=1)
        degrees = np.degrees(np.arccos(np.clip(cosine, -1, 1))).max()
        assert degrees < 0.5, f"{start}: {degrees:.1f} degrees off"


def test_rows_are_spread_evenly():
    np.testing.assert_array_equal(spread_rows(9, 3), [0, 4, 8])
    np.testing.assert_array_equal(spread_rows(2, 5), [0, 1])


def sources(root: Path, **changes) -> PoseSources:
    settings = PoseSources(generator=False, amass=root / "amass", cache_location=root / "cache", processes=1,
                           held_out=0.25)  # fmt: skip
    return replace(settings, **changes)


def test_files_are_read_once_and_again_when_they_change(tmp_path, monkeypatch):
    for number in range(4):
        write_amass(tmp_path / "amass", f"m{number}", 3)
    first = open_tables(sources(tmp_path), BODY)[0]
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".npz"], "and nothing partial"

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("read again")

    monkeypatch.setattr(pose_cache, "for_each", refuse)
    again = open_tables(sources(tmp_path), BODY)[0]
    np.testing.assert_array_equal(first.theta, again.theta)
    for change in ({"most_frames": 2}, {}):
        if not change:
            os.utime(tmp_path / "amass" / "m1.npz")
        with pytest.raises(AssertionError, match="read again"):
            open_tables(sources(tmp_path, **change), BODY)


def test_a_cache_tells_angles_to_a_fifth_of_a_degree(tmp_path):
    for number in range(2):
        write_amass(tmp_path / "amass", f"m{number}", 3)
    [table] = open_tables(sources(tmp_path), BODY)
    read = read_amass(tmp_path / "amass" / "m0.npz", tmp_path / "amass", 3).theta.reshape(-1, 3)
    stored = table.theta[table.recording == 0].astype(np.float64).reshape(-1, 3)
    apart = (Rotation.from_rotvec(read).inv() * Rotation.from_rotvec(stored)).magnitude()
    assert np.degrees(apart).max() < 0.2


def test_clips_of_one_sequence_are_never_split(tmp_path):
    for sequence in ("01_01", "02_02", "03_03", "04_04"):
        for clip in (1, 2, 3):
            write_surreal(tmp_path / "surreal", sequence, 2, clip)
    config = sources(tmp_path, amass=None, surreal=tmp_path / "surreal", held_out=0.5)
    [table] = open_tables(config, BODY)
    names, out = np.array(table.names), held_out_recordings(table, 0.5, 0)
    assert set(names[out]).isdisjoint(names[~out]) and out.sum() == 6
    train, held_out = (ParameterData([table], part, config, with_shapes=True) for part in ("train", "held_out"))
    assert len(train) == len(held_out) == 12 and set(train.sequence).isdisjoint(held_out.sequence)


def test_a_single_sequence_cannot_be_split(tmp_path):
    write_amass(tmp_path / "amass", "only", 3)
    [table] = open_tables(sources(tmp_path), BODY)
    with pytest.raises(ValueError, match="1 sequence; it needs 2"):
        ParameterData([table], "train", sources(tmp_path), with_shapes=True)


def test_shapes_of_smpl_are_left_out_for_another_body_and_drawn_by_epoch_and_index(tmp_path):
    for number in range(2):
        write_amass(tmp_path / "amass", f"m{number}", 40)
    config = sources(tmp_path)
    tables = open_tables(config, BODY)
    own, drawn = (ParameterData(tables, "train", config, with_shapes=flag) for flag in (True, False))
    assert (own[0, 3].betas == own[5, 3].betas).all(), "a person's shape does not change"
    assert (drawn[0, 3].betas == drawn[0, 3].betas).all() and (drawn[0, 3].betas != drawn[1, 3].betas).any()
    shapes = np.stack([drawn[epoch, index].betas for epoch in range(20) for index in range(len(drawn))])
    assert np.abs(shapes.mean(0)).max() < 0.2 and np.abs(shapes.std(0) - 1).max() < 0.2
    assert not is_smpl(BODY)
    assert "shapes are sampled" in describe_poses(
        tables, False
    ) and "2 sequences, 80 frames of amass" in describe_poses(tables, True)


def test_an_invented_motion_depends_on_its_number_alone():
    first = generate_recording(7, 4, seed=0)
    np.testing.assert_array_equal(first.theta, generate_recording(7, 4, seed=0).theta)
    assert (first.theta != generate_recording(22, 4, seed=0).theta).any() and first.betas is None
    rotations = rotations_from_theta(torch.from_numpy(first.theta))
    assert rotations.shape == (4, 24, 3, 3)


def test_contradicting_settings_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"data\.generator is off"):
        PoseSources(generator=False)
    with pytest.raises(ValueError, match=r"data\.cmu_subjects"):
        PoseSources(cmu_subjects=("01_",))

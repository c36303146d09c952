import json

import numpy as np
import pytest
import scipy.io

from config import PreprocessConfig
from dataset_def import h36m_preprocess
from dataset_def.data_set_file import FILE, DataSetFacts, facts_from, read_facts, write_facts
from dataset_def.h36m_files import load_meta, meta_path
from dataset_def.h36m_index import load_table
from tests.helpers.tiny_h36m import write_tiny_h36m
from utils.skeleton import H36M, skeleton_from

DOG = {
    "joints": ["pelvis", "left_hip", "right_hip", "left_paw", "right_paw", "tail"],
    "parents": [None, "pelvis", "pelvis", "left_hip", "right_hip", "pelvis"],
}


def facts(tmp_path, **changes) -> DataSetFacts:
    return facts_from(json.dumps(DOG | changes), tmp_path / FILE)


def test_pairs_are_found_by_name_and_the_heading_by_those_that_hang_from_the_middle(tmp_path):
    dog = facts(tmp_path).skeleton
    assert dog.parents == (-1, 0, 0, 1, 2, 0)
    assert dog.mirror_pairs == (("left_hip", "right_hip"), ("left_paw", "right_paw"))
    assert dog.counterparts() == [0, 2, 1, 4, 3, 5]
    assert dog.heading_pairs == (("left_hip", "right_hip"),) and dog.heading_rows() == ([1], [2])
    assert dog.sides() == ["", "left", "right", "left", "right", ""]
    assert skeleton_from(json.loads(json.dumps(dog.plain()))) == dog


def test_the_same_rules_give_human36m_its_pairs(tmp_path):
    above = [None if parent < 0 else H36M.names[parent] for parent in H36M.parents]
    told = facts(tmp_path, joints=list(H36M.names), parents=above)
    assert told == DataSetFacts()


def test_other_names_tell_their_pairs_in_the_file_or_are_not_mirrored(tmp_path):
    names = {"joints": ["root", "L1", "R1"], "parents": [None, "root", "root"]}
    silent = facts_from(json.dumps(names), tmp_path / FILE).skeleton
    with pytest.raises(ValueError, match=r"list mirror_pairs in its data_set\.json"):
        silent.counterparts()
    with pytest.raises(ValueError, match="list heading_pairs"):
        silent.heading_rows()
    told = facts_from(json.dumps(names | {"mirror_pairs": [["L1", "R1"]]}), tmp_path / FILE).skeleton
    assert told.counterparts() == [0, 2, 1] and told.heading_rows() == ([1], [2])
    snake = facts_from(json.dumps(names | {"mirror_pairs": []}), tmp_path / FILE).skeleton
    assert snake.counterparts() == [0, 1, 2]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"up": [0, 0, 1]}, "holds 'up'; it may hold joints, parents"),
        ({"joints": ["a", "a"], "parents": [None, "a"]}, r"name \['a'\] twice"),
        ({"parents": [None, "pelvis"]}, "an entry for each of the 6 joints"),
        ({"parents": ["tail", None, "pelvis", "left_hip", "right_hip", "pelvis"]}, "null for the first joint"),
        ({"parents": [None, "left_paw", "pelvis", "left_hip", "right_hip", "pelvis"]}, "go in a circle at left_hip"),
        ({"joints": ["pelvis", "left_hip", "hip", "left_paw", "right_paw", "tail"],
          "parents": [None, "pelvis", "pelvis", "left_hip", "hip", "pelvis"]}, "left_hip has no partner right_hip"),
        ({"mirror_pairs": [["left_hip", "tail"], ["left_paw", "tail"]]}, "has tail, which is no joint .* or is there"),
        ({"heading_pairs": ["left_hip"]}, "list of pairs"),
        ({"world_up": "y"}, "give three numbers"),
        ({"world_up": [0, 0, 0]}, "points nowhere"),
    ],
)  # fmt: skip
def test_what_does_not_fit_together_is_said_with_the_file(tmp_path, changes, words):
    with pytest.raises(ValueError, match=words) as refused:
        facts(tmp_path, **changes)
    assert FILE in str(refused.value)
    with pytest.raises(ValueError, match="is no json"):
        facts_from("{joints", tmp_path / FILE)
    with pytest.raises(ValueError, match="joints but no parents"):
        facts_from(json.dumps({"joints": DOG["joints"]}), tmp_path / FILE)


@pytest.mark.parametrize("up", [(0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, -1.0), (3.0, 4.0, 0.0)])
def test_the_turn_takes_up_to_z_and_is_a_rotation(tmp_path, up):
    R = facts(tmp_path, world_up=list(up)).R_index_from_world()
    assert np.allclose(R @ np.array(up) / np.linalg.norm(up), [0, 0, 1]) and np.allclose(R @ R.T, np.eye(3))
    assert np.linalg.det(R) == pytest.approx(1)


def test_a_world_whose_y_points_down_gives_the_index_of_the_same_data_with_z_up(tmp_path):
    # Hand-worked: z up to y down is x' = x, y' = -z, z' = y, so that (1, 2, 3) is written (1, -3, 2).
    written_from_z_up = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    plain = write_tiny_h36m(tmp_path / "z", subjects=(1,), actions=(2,), frames=2, size_px=64)
    other = write_tiny_h36m(tmp_path / "y", subjects=(1,), actions=(2,), frames=2, size_px=64)
    turn_metas(other, written_from_z_up)
    (other.h36m_location / FILE).write_text(json.dumps({"world_up": [0, -1, 0]}))
    tables = []
    for paths in (plain, other):
        h36m_preprocess.main(PreprocessConfig(paths=paths, pack=False, processes=1))
        tables.append(load_table(paths))
    first, second = tables
    assert second.joints_world_m == pytest.approx(first.joints_world_m, abs=1e-9)
    assert second.masks_world_m == pytest.approx(first.masks_world_m, abs=1e-6)
    assert second.box_world_m == pytest.approx(first.box_world_m, abs=1e-6), "the floor is where it was"
    for one, two in zip(first.cameras, second.cameras, strict=True):
        assert two.R_cam_from_world == pytest.approx(one.R_cam_from_world)
        assert two.centre_world_m == pytest.approx(one.centre_world_m)


def turn_metas(paths, R) -> None:
    for path in paths.h36m_location.glob("*/h36m_meta.mat"):
        content = {name: value for name, value in scipy.io.loadmat(path).items() if name[0] != "_"}
        turned = {"pose3d_world": content["pose3d_world"] @ R.T, "R": content["R"] @ R.T, "T": content["T"] @ R.T}
        scipy.io.savemat(path, content | turned)


def test_joints_of_another_number_are_read_with_their_names_and_kept_in_the_index(tmp_path):
    paths = write_tiny_h36m(tmp_path, subjects=(1,), actions=(2,), frames=2, size_px=64)
    path = meta_path(paths, (1, 2, 1, 1))
    write_facts(paths, facts(tmp_path).skeleton)
    with pytest.raises(ValueError, match=r"expected \(frames, 6, 3\), the 6 joints that data_set.json names"):
        load_meta(path, read_facts(paths))
    cut_metas(paths, 6)
    with pytest.raises(ValueError, match=r"expected \(frames, 17, 3\)$"):
        load_meta(path)
    h36m_preprocess.main(PreprocessConfig(paths=paths, pack=False, processes=1))
    table = load_table(paths)
    assert table.skeleton == facts(tmp_path).skeleton and table.joints_world_m.shape[1:] == (6, 3)
    (paths.h36m_location / FILE).write_text(json.dumps(DOG | {"mirror_pairs": []}))
    with pytest.raises(ValueError, match="was made from other data"):
        load_table(paths)


def cut_metas(paths, count: int) -> None:
    for path in paths.h36m_location.glob("*/h36m_meta.mat"):
        content = {name: value for name, value in scipy.io.loadmat(path).items() if name[0] != "_"}
        scipy.io.savemat(path, content | {"pose3d_world": content["pose3d_world"][:, :count]})


def test_people_without_labels_need_no_rows_for_joints_of_their_own(tmp_path):
    paths = write_tiny_h36m(tmp_path, subjects=(1,), actions=(2,), frames=2, size_px=64)
    write_facts(paths, facts(tmp_path).skeleton)
    path = meta_path(paths, (1, 2, 1, 1))
    content = {name: value for name, value in scipy.io.loadmat(path).items() if name[0] != "_"}
    scipy.io.savemat(path, content | {"pose3d_world": np.full_like(content["pose3d_world"], np.nan)})
    meta = load_meta(path, read_facts(paths))
    assert meta.joints_world_m.shape == (2, 6, 3) and np.isnan(meta.joints_world_m).all()

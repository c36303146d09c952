"""The embedded data set: layout; images, masks, cameras and bodies agree; repeatability, resuming, refusals."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from config import ROOT, Paths, PreprocessConfig
from dataset_def import h36m_get_background, h36m_preprocess
from dataset_def.crop import crop_camera
from dataset_def.h36m_crops import PackedCrops, load_metadata, pack_folder
from dataset_def.h36m_files import background_path, folder_name, load_meta
from dataset_def.h36m_get_background import BackgroundConfig
from dataset_def.h36m_index import load_table
from dataset_def.photos.panoramas import exposed, read_linear, read_panorama
from dataset_def.synthetic import make_h36m
from dataset_def.synthetic.make_h36m import HardPictures, SyntheticConfig
from dataset_def.synthetic.motion.performance import is_in_frame
from dataset_def.synthetic.scene.cameras import AREA_MIDDLE_WORLD_M, make_cameras, make_sensor
from dataset_def.synthetic.scene.room import HALF_LENGTH_M, HALF_WIDTH_M
from dataset_def.synthetic.scene.surroundings import choose_surroundings, draw_surroundings
from dataset_def.synthetic.sequence_files import SyntheticSequence, is_sequence_complete
from models.smpl import load_body, rotations_from_theta
from utils.artifacts import load_background
from utils.camera import distort, project, to_camera, to_rays
from utils.image import read_image, read_mask, write_image

SIZE_PX = 96
GOLDEN = ROOT / "tests" / "golden"
FOLDERS = [f"s_01_act_{action:02d}_subact_01_ca_{camera:02d}" for action in (10, 14) for camera in (1, 2, 3, 4)]


def settings(root: Path, **changes) -> SyntheticConfig:
    paths = Paths(h36m_location=root / "frames", masks_location=root / "masks", truth_location=root / "truth")
    config = SyntheticConfig(
        paths=paths, size_px=SIZE_PX, frames=3, subjects=(1,), actions=(10, 14), subactions=(1,), processes=1
    )
    return replace(config, **changes)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("data")
    make_h36m.main(settings(root))
    return root


@pytest.fixture
def copied(made, tmp_path) -> Path:
    shutil.copytree(made, tmp_path / "data")
    return tmp_path / "data"


def contents(root: Path) -> dict[str, bytes]:
    """All pictures, and the numbers of the other files (their headers carry the time)."""
    pictures = {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.suffix in (".jpg", ".png")}
    metas = {str(p.relative_to(root)): load_meta(p).joints_world_m.tobytes() for p in root.rglob("*.mat")}
    truths = {str(p.relative_to(root)): np.load(p)["theta"].tobytes() for p in root.rglob("*.npz")}
    return pictures | metas | truths


def test_the_layout_is_human36m_s(made):
    assert sorted(p.name for p in (made / "frames").glob("s_*")) == FOLDERS
    assert sorted(p.name for p in (made / "masks").glob("s_*")) == FOLDERS
    for folder in FOLDERS:
        names = [f"{folder}_{frame:06d}" for frame in (1, 2, 3)]
        assert sorted(p.name for p in (made / "frames" / folder).iterdir()) == [
            "h36m_meta.mat",
            *(f"{n}.jpg" for n in names),
        ]
        assert sorted(p.name for p in (made / "masks" / folder).iterdir()) == [f"{n}.png" for n in names]
    assert sorted(p.name for p in (made / "truth").glob("*.npz")) == [
        "s_01_act_10_subact_01.npz", "s_01_act_14_subact_01.npz",
    ]  # fmt: skip
    assert not list(made.rglob("*.partial"))


def test_the_mat_file_has_human36m_s_fields_and_units(made):
    from scipy.io import loadmat

    content = loadmat(made / "frames" / FOLDERS[0] / "h36m_meta.mat")
    shapes = {name: content[name].shape for name in ("pose3d_world", "R", "T", "f", "c", "img_height", "img_width")}
    assert shapes == {
        "pose3d_world": (3, 17, 3), "R": (3, 3), "T": (1, 3), "f": (1, 2), "c": (1, 2), "img_height": (3, 1),
        "img_width": (3, 1),
    }  # fmt: skip
    assert 3000 < np.linalg.norm(content["T"]) < 7000, "T is the camera's centre in millimetres"
    assert abs(content["f"][0, 0] / SIZE_PX - 1.147) < 0.01


@pytest.mark.parametrize("folder", FOLDERS)
def test_joints_project_into_the_frame_and_onto_the_mask(made, folder):
    meta = load_meta(made / "frames" / folder / "h36m_meta.mat")
    for row, joints_world_m in enumerate(meta.joints_world_m):
        name = f"{folder}_{row + 1:06d}"
        mask = read_mask(made / "masks" / folder / f"{name}.png")
        image = read_image(made / "frames" / folder / f"{name}.jpg")
        assert mask.shape == image.shape[:2] == (SIZE_PX, SIZE_PX)
        joints_img_px = project(meta.camera, to_camera(meta.camera, joints_world_m))
        assert (joints_img_px > 1).all() and (joints_img_px < SIZE_PX - 1).all()
        near = cv2.dilate((mask > 128).astype(np.uint8), np.ones((3, 3)))
        hit = near[joints_img_px[:, 1].astype(int), joints_img_px[:, 0].astype(int)].sum()
        assert hit == 17, f"{hit} of 17 joints lie on the mask of {name}"
        border = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
        assert not border.any(), f"{name} cuts the person off"


def test_the_truth_gives_the_joints_and_stands_on_the_floor(made):
    body = load_body(Paths().models_smpl_location)
    truth = np.load(made / "truth" / "s_01_act_10_subact_01.npz")
    rotations = rotations_from_theta(torch.tensor(truth["theta"]))
    betas = torch.tensor(truth["betas"])[None].expand(3, -1)
    out = body(rotations, betas, torch.tensor(truth["translation_m"]))
    meta = load_meta(made / "frames" / "s_01_act_10_subact_01_ca_03" / "h36m_meta.mat")
    off_mm = 1000 * np.abs(body.h36m_joints_m(out.vertices_m).numpy() - meta.joints_world_m).max()
    assert off_mm < 0.1, f"{off_mm:.2f} mm, expected below 0.1 mm"
    lowest_mm = 1000 * out.vertices_m[..., 2].min(1).values.numpy()
    assert np.abs(lowest_mm).max() < 0.1, f"lowest points at {lowest_mm} mm"


def test_the_views_are_the_same_instant(made):
    poses = [load_meta(made / "frames" / folder / "h36m_meta.mat").joints_world_m for folder in FOLDERS[:4]]
    for pose in poses[1:]:
        np.testing.assert_array_equal(pose, poses[0])


def test_cameras_stand_like_human36m_s():
    for subject in (1, 9):
        cameras = make_cameras(subject, 0, 1000)
        distances_m = [np.linalg.norm(camera.centre_world_m - AREA_MIDDLE_WORLD_M - [0, 0, 0.95]) for camera in cameras]
        assert min(distances_m) > 4.3 and max(distances_m) < 6.6
        for camera in cameras:
            assert camera.focal_px.min() > 1143 and camera.focal_px.max() < 1152
            np.testing.assert_allclose(camera.R_cam_from_world @ camera.R_cam_from_world.T, np.eye(3), atol=1e-12)
            up_cam = camera.R_cam_from_world @ [0, 0, 1]
            assert up_cam[1] < -0.9 and np.linalg.det(camera.R_cam_from_world) > 0
    assert make_cameras(1, 0, 1000)[0].centre_px[0] != make_cameras(5, 0, 1000)[0].centre_px[0]


def test_two_processes_make_the_same_bytes(made, tmp_path):
    make_h36m.main(settings(tmp_path, processes=2))
    assert contents(tmp_path) == contents(made)


def test_each_camera_draws_a_subjects_room_once_for_all_sequences(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(make_h36m, "draw_room", lambda room, camera: drawn.append(camera) or plain_wall(camera))
    make_h36m.main(settings(tmp_path, subjects=(1, 5), actions=(10,), subactions=(1, 2), frames=2))
    assert len(drawn) == 8 < len(list((tmp_path / "frames").glob("s_*")))


def plain_wall(camera) -> np.ndarray:
    return np.full((camera.height_px, camera.width_px, 3), 90, np.uint8)


def test_a_second_run_does_nothing(copied, monkeypatch):
    def refuse(*_):
        raise AssertionError("a finished data set is made again")

    monkeypatch.setattr(make_h36m, "make_sequence", refuse)
    before = {path: path.stat().st_mtime_ns for path in copied.rglob("*")}
    make_h36m.main(settings(copied, processes=2))
    assert {path: path.stat().st_mtime_ns for path in copied.rglob("*")} == before


def test_an_interrupted_run_goes_on_where_it_stopped(made, copied):
    lost = copied / "frames" / FOLDERS[2]
    shutil.rmtree(lost)
    lost.with_name(lost.name + ".partial").mkdir()
    (lost.with_name(lost.name + ".partial") / "rest.jpg").write_bytes(b"half")
    untouched = copied / "frames" / FOLDERS[5] / f"{FOLDERS[5]}_000001.jpg"
    before = untouched.stat().st_mtime_ns
    assert not is_sequence_complete(settings(copied).paths, SyntheticSequence(1, 10, 1))
    make_h36m.main(settings(copied))
    assert contents(copied) == contents(made)
    assert untouched.stat().st_mtime_ns == before


def test_more_actions_join_the_same_folder(copied, capsys):
    make_h36m.main(settings(copied, actions=(10, 14, 2), frames=3))
    said = capsys.readouterr().out
    assert f"{copied}/frames, 1 of them new" in said and "next: python dataset_def/h36m_preprocess.py" in said
    assert is_sequence_complete(settings(copied).paths, SyntheticSequence(1, 2, 1))


def test_other_settings_are_refused_and_change_nothing(copied):
    before = contents(copied)
    with pytest.raises(ValueError, match=r"seed 0.*seed 1.*delete"):
        make_h36m.main(settings(copied, seed=1))
    assert contents(copied) == before


def test_foreign_data_are_left_alone(tmp_path):
    (tmp_path / "frames" / "s_01_act_02_subact_01_ca_01").mkdir(parents=True)
    with pytest.raises(ValueError, match="did not make"):
        make_h36m.main(settings(tmp_path))
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["frames", "s_01_act_02_subact_01_ca_01"]


def test_every_sequence_gets_an_outfit_of_its_own_or_one_for_all():
    every = [SyntheticSequence(1, action, subaction) for action in range(2, 17) for subaction in (1, 2)]
    assert sorted(make_h36m.outfit_number(sequence, 30) for sequence in every) == list(range(30))
    assert {make_h36m.outfit_number(sequence, 1) for sequence in every} == {0}


def test_the_settings_file_names_no_place(made):
    content = json.loads((made / "frames" / make_h36m.SETTINGS_FILE).read_text())
    assert str(made) not in json.dumps(content) and content["seed"] == 0


def hard(root: Path, **changes) -> SyntheticConfig:
    shown = settings(root, difficulty="hard", actions=(10,), frames=2, hard=HardPictures(held=1.0))
    return replace(shown, **changes)


@pytest.fixture(scope="module")
def made_hard(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("hard")
    make_h36m.main(hard(root))
    return root


def test_the_easy_pictures_are_those_of_the_committed_tables(made):
    """Bit for bit where arithmetic is the same; a rounding of another processor may move few pixels by one or two."""
    for kind, ending, allowed in (("frames", "jpg", 8), ("masks", "png", 64)):
        name = f"{FOLDERS[0]}_000001"
        stored = cv2.imread(str(GOLDEN / f"easy_{kind}.png"), cv2.IMREAD_UNCHANGED)
        now = cv2.imread(str(made / kind / FOLDERS[0] / f"{name}.{ending}"), cv2.IMREAD_UNCHANGED)
        off = np.abs(now.astype(int) - stored)
        share = (off > 0).mean()
        assert share < 0.02 and off.max() <= allowed, f"{share:.1%} of {kind} differ, by up to {off.max()}"


def test_hard_pictures_repeat_and_are_others(made, made_hard, tmp_path):
    make_h36m.main(hard(tmp_path))
    assert contents(tmp_path) == contents(made_hard)
    name = f"{FOLDERS[0]}/{FOLDERS[0]}_000001"
    easy, now = (read_image(root / "frames" / f"{name}.jpg").astype(int) for root in (made, made_hard))
    assert np.abs(easy - now).mean() > 0.4


def test_easy_folders_tell_nothing_new_and_hard_ones_are_kept_apart(made, copied):
    content = json.loads((made / "frames" / make_h36m.SETTINGS_FILE).read_text())
    assert "difficulty" not in content and "hard" not in content, "folders of before the choice go on"
    with pytest.raises(ValueError, match=r"difficulty hard.*delete"):
        make_h36m.main(settings(copied, difficulty="hard"))


def test_varied_cameras_stand_in_the_room_and_see_the_middle_of_a_person():
    heights_m, focal = [], []
    for subject in range(1, 30):
        for camera in make_cameras(subject, 0, 1000, "varied"):
            x, y, z = np.abs(camera.centre_world_m)
            assert x < HALF_WIDTH_M - 0.3 and y < HALF_LENGTH_M - 0.3, "inside the walls"
            heights_m.append(z)
            focal.append(camera.focal_px[0] / 1000)
            np.testing.assert_allclose(camera.R_cam_from_world @ camera.R_cam_from_world.T, np.eye(3), atol=1e-12)
            ends = AREA_MIDDLE_WORLD_M + np.array([[0, 0, 0.0], [0, 0, 0.95], [0, 0, 1.9]])
            seen_px = project(camera, to_camera(camera, ends))
            assert np.abs(seen_px[1] - 500).max() < 60 and (seen_px > 100).all() and (seen_px < 900).all()
    assert 0.8 <= min(heights_m) < 0.9 and 2.4 < max(heights_m) <= 2.5
    assert 0.6 < min(focal) < 0.85 and 1.4 < max(focal) < 1.8
    for one, other in zip(make_cameras(1, 0, 96), make_cameras(1, 0, 96, "human36m"), strict=True):
        np.testing.assert_array_equal(one.R_cam_from_world, other.R_cam_from_world)


def test_who_stretches_or_lies_fits_into_every_varied_camera():
    turns = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    around = np.column_stack([np.cos(turns), np.sin(turns), np.zeros(16)])
    reach_m = np.concatenate([1.05 * around, 0.95 * around + [0, 0, 1.5], 0.15 * around + [0, 0, 2.4]])
    for subject in range(300):
        cameras = make_cameras(subject, 0, 1000, "varied", float(subject % 2))
        assert is_in_frame(cameras, AREA_MIDDLE_WORLD_M + reach_m), f"S{subject} would be refused in the middle"


def test_lenses_bend_as_far_as_told_and_fold_nothing_into_view():
    corner, first, askew = [], [], []
    for subject in range(200):
        straight, bent = make_cameras(subject, 0, 1000, "varied"), make_cameras(subject, 0, 1000, "varied", 1.0)
        for one, camera in zip(straight, bent, strict=True):
            assert camera.is_distorted and camera.distortion == "h36m" and not one.is_distorted
            np.testing.assert_array_equal(camera.R_cam_from_world, one.R_cam_from_world)
            edge = np.linalg.norm(500 / camera.focal_px)
            first.append(camera.k[0] * edge**2)
            askew.append(np.abs(camera.p).max())
            radii = np.column_stack([np.linspace(0, 2 * edge, 100), np.zeros(100)])
            radial = distort(camera._replace(p=np.zeros(2)), radii)[:, 0]
            assert (np.diff(radial) > 0).all(), f"k {camera.k} folds"
            corner.append(distort(camera._replace(p=np.zeros(2)), np.array([edge, 0.0]))[0] / edge - 1)
            pixels = np.array([[0.5, 0.5], [999.5, 0.5], [0.5, 999.5], [999.5, 999.5], [300.0, 700.0]])
            np.testing.assert_allclose(project(camera, to_rays(camera, pixels)), pixels, atol=2e-3)
    assert -0.17 < min(corner) < -0.12 and 0.01 < max(corner) < 0.04, "shares of the radius"
    assert -0.2 <= min(first) < -0.19 and 0.03 < max(first) <= 0.04, "at the corner, of wide and narrow pictures"
    assert 0.0014 < max(askew) <= 0.0015
    half, whole = (make_cameras(3, 0, 1000, "varied", strength)[1] for strength in (0.5, 1.0))
    np.testing.assert_allclose(2 * half.k, whole.k)
    np.testing.assert_allclose(2 * half.p, whole.p)
    np.testing.assert_allclose(half.k[0] / make_cameras(3, 0, 96, "varied", 0.5)[1].k[0], 1)


@pytest.fixture(scope="module")
def made_bent(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("bent")
    make_h36m.main(hard(root, hard=HardPictures(distortion=1.0, chairs=0, held=0)))
    return root


def test_bent_pictures_show_people_where_the_written_cameras_say(made_bent, tmp_path):
    """In the frames, and in the crops that are cut from them, whose cameras are straight again."""
    paths = replace(settings(made_bent).paths, index_location=tmp_path / "index")
    h36m_preprocess.main(PreprocessConfig(paths=paths, pack_px=160, centre="pelvis", processes=1))
    table = load_table(paths)
    metadata = load_metadata(pack_folder(paths, "pelvis"))
    packed = PackedCrops(paths, "pelvis", table, metadata)
    off_px = []
    for row in range(len(table.frames)):
        key, camera = table.key(row), table.camera(row)
        joints_m = table.joints_world_m[table.row_instant[row]]
        crop = crop_camera(camera, joints_m[0], metadata.size_px, metadata.side_m)
        mask_file = paths.masks_location / folder_name(*key[:4]) / f"{key.stem}.png"
        for one, mask in ((camera, read_mask(mask_file)), (crop, packed.mask(row))):
            columns, rows = project(one, to_camera(one, joints_m)).astype(int).T
            assert cv2.dilate((mask > 128).astype(np.uint8), np.ones((3, 3)))[rows, columns].all(), f"{key.stem}"
        straight = camera._replace(k=np.zeros(3), p=np.zeros(2))
        assert camera.is_distorted and not crop.is_distorted
        straight_px = project(straight, to_camera(straight, joints_m))
        off_px.append(np.abs(project(camera, to_camera(camera, joints_m)) - straight_px).max())
    assert np.max(off_px) > 0.2, "pixels; who stands in the middle is bent little"


def moments(mask: np.ndarray) -> np.ndarray:
    """Area, place and extent of a mask, of which a blur of its edge changes little."""
    rows, columns = np.mgrid[:SIZE_PX, :SIZE_PX] / SIZE_PX - 0.5
    return np.array([(mask * by).mean() for by in (np.ones(1), rows, columns, rows**2, columns**2, rows * columns)])


def test_bent_pictures_are_the_straight_ones_seen_through_the_written_lens(made_bent, tmp_path):
    """A lens moves people in the middle by less than a pixel of these small pictures, and walls by several."""
    make_h36m.main(hard(tmp_path, hard=HardPictures(chairs=0, held=0)))
    pixels = np.stack(np.meshgrid(np.arange(SIZE_PX) + 0.5, np.arange(SIZE_PX) + 0.5), axis=-1)
    off = {"masks": np.zeros(2), "frames": np.zeros(2)}
    for folder in FOLDERS[:4]:
        camera = load_meta(made_bent / "frames" / folder / "h36m_meta.mat").camera
        straight = load_meta(tmp_path / "frames" / folder / "h36m_meta.mat").camera
        columns, rows = np.moveaxis(project(straight, to_rays(camera, pixels)) - 0.5, -1, 0).astype(np.float32)
        is_inside = (np.minimum(columns, rows) >= 0) & (np.maximum(columns, rows) <= SIZE_PX - 1)
        for kind, ending, read in (("masks", "png", read_mask), ("frames", "jpg", read_image)):
            name = f"{kind}/{folder}/{folder}_000001.{ending}"
            bent, before = (read(root / name).astype(np.float32) for root in (made_bent, tmp_path))
            through = cv2.remap(before, columns, rows, cv2.INTER_LINEAR)
            for place, one in enumerate((before, through)):
                far = bent - one
                off[kind][place] += np.abs(far[is_inside]).sum() if kind == "frames" else np.abs(moments(far)).sum()
    assert off["masks"][1] < 0.4 * off["masks"][0] and off["frames"][1] < 0.75 * off["frames"][0], f"{off}"


def test_folders_begun_before_there_were_lenses_go_on(made_hard, made_bent):
    before, now = (json.loads((root / "frames" / make_h36m.SETTINGS_FILE).read_text())["hard"]
                   for root in (made_hard, made_bent))  # fmt: skip
    assert now["distortion"] == 1.0 and not {"distortion", "panoramas"} & before.keys()


def in_panorama(root: Path, folder: Path) -> SyntheticConfig:
    """Put one picture of each camera into a panorama of the folder."""
    off = HardPictures(panoramas=folder, chairs=0, held=0, exposure=0)
    return replace(hard(root, hard=off), frames=1, size_px=64)


def test_people_stand_in_a_panorama_instead_of_a_room(tmp_path):
    panorama = np.zeros((64, 128, 3), np.uint8) + np.uint8((40, 120, 200))
    write_image(tmp_path / "in" / "street.png", panorama)
    make_h36m.main(in_panorama(tmp_path, tmp_path / "in"))
    shown = exposed(read_linear(tmp_path / "in" / "street.png"))[0, 0].astype(float)
    for folder in FOLDERS[:4]:
        name = f"{folder}/{folder}_000001"
        image = read_image(tmp_path / "frames" / f"{name}.jpg").astype(float)
        mask = cv2.dilate(read_mask(tmp_path / "masks" / f"{name}.png"), np.ones((5, 5)))
        assert (mask > 128).sum() > 50
        sky = image[:8][mask[:8] == 0]
        assert np.abs(sky.mean(axis=0) / sky.mean() - shown / shown.mean()).max() < 0.1
        ground = image[32:][mask[32:] == 0].sum(axis=1)
        assert ground.min() < 0.9 * np.median(ground), "there is a shadow on the floor"
    text = (tmp_path / "frames" / make_h36m.SETTINGS_FILE).read_text()
    assert str(tmp_path) not in text and json.loads(text)["hard"]["panoramas"].startswith("content ")
    write_image(tmp_path / "in" / "street.png", panorama // 2)
    with pytest.raises(ValueError, match=r"panoramas.*delete"):
        make_h36m.main(in_panorama(tmp_path, tmp_path / "in"))


def test_a_panorama_is_read_once_for_all_that_is_drawn_in_it(tmp_path, monkeypatch):
    rng, read = np.random.default_rng(0), []
    for name in "ab":
        write_image(tmp_path / "in" / f"{name}.png", rng.integers(0, 255, (64, 128, 3)).astype(np.uint8))
    config = replace(in_panorama(tmp_path, tmp_path / "in"), subjects=tuple(range(1, 9)), actions=(14,))
    wanted = {}
    for subject in config.subjects:
        around = choose_surroundings(tmp_path / "in", subject, config.seed)
        for number, camera in enumerate(config.views.cameras(subject), start=1):
            image = draw_surroundings(read_panorama(around.panorama), around.heading_rad, camera)
            wanted[f"s_{subject:02d}_ca_{number:02d}.npy"] = (around.panorama.name, image)
    assert [wanted[f"s_{subject:02d}_ca_01.npy"][0][0] for subject in config.subjects] == list("abaaaabb")
    monkeypatch.setattr(make_h36m, "read_panorama", lambda path: read.append(path.name) or read_panorama(path))
    sequences = [SyntheticSequence(subject, 14, 1) for subject in config.subjects]
    config.paths.h36m_location.mkdir()
    with make_h36m.drawn_rooms(config.paths, sequences, config.views, 1) as drawn:
        assert {path.name for path in drawn.iterdir()} == wanted.keys()
        for name, (_, image) in wanted.items():
            np.testing.assert_array_equal(np.load(drawn / name), image)
    assert sorted(read) == ["a.png", "b.png"], "both are read once, in whatever order the subjects come"
    write_image(tmp_path / "in" / "b.png", np.zeros((64, 128, 3), np.uint8))
    later = next(subject for subject in config.subjects if wanted[f"s_{subject:02d}_ca_01.npy"][0] == "b.png")
    assert not config.views.draw(later, config.views.cameras(later)[0]).any(), "what was written since is read anew"


@pytest.mark.parametrize(("file", "told"), [
    (None, r"in holds no panoramas \(\.jpg, .*\); give their folder"),
    ("a.png", r"a\.png is truncated"),
    ("a.hdr", r"a\.hdr is damaged and cannot be decoded; fetch it again"),
])  # fmt: skip
def test_a_folder_without_readable_panoramas_is_refused_before_anything_is_written(tmp_path, file, told):
    (tmp_path / "in").mkdir()
    if file:
        (tmp_path / "in" / file).write_bytes(b"no panorama")
    with pytest.raises((ValueError, FileNotFoundError), match=told):
        make_h36m.main(in_panorama(tmp_path / "data", tmp_path / "in"))
    assert not (tmp_path / "data").exists()


def medians(config: SyntheticConfig, backgrounds: Path) -> np.ndarray:
    """Give the median of each camera's frames."""
    paths = replace(config.paths, index_location=backgrounds, backgrounds_location=backgrounds)
    make_h36m.main(config)
    h36m_preprocess.main(PreprocessConfig(paths=paths, pack=False, processes=1))
    h36m_get_background.main(BackgroundConfig(paths=paths, processes=1))
    return np.stack([load_background(background_path(paths, 1, number)).astype(int) for number in (1, 2, 3, 4)])


def test_a_chair_moves_with_who_sits_and_is_part_of_neither_mask_nor_background(tmp_path):
    """Like a held thing.  Where somebody sits in every frame, the median shows the person and the chair."""
    write_image(tmp_path / "in" / "grey.png", np.full((64, 128, 3), 128, np.uint8))
    off = HardPictures(panoramas=tmp_path / "in", held=0, exposure=0)
    with_chair = replace(hard(tmp_path / "chair", hard=off), frames=4, size_px=64, actions=(9,))
    without = replace(hard(tmp_path / "none", hard=replace(off, chairs=0)), frames=4, size_px=64, actions=(9,))
    seated, plain_seated = (medians(c, tmp_path / name) for name, c in (("a", with_chair), ("b", without)))
    assert (np.abs(seated - plain_seated).mean(axis=-1) > 25).mean() > 0.008, "all sit, and the chair stands still"
    more = {"actions": (2, 3, 5, 9, 14)}
    whole, plain_whole = (
        medians(replace(c, **more), tmp_path / name) for name, c in (("c", with_chair), ("d", without))
    )
    off = np.abs(whole - plain_whole).mean(axis=-1)
    assert (off > 25).mean() < 0.003, "one sequence of five has a chair"
    chair_px = 0
    for camera in (1, 2, 3, 4):
        name = f"s_01_act_09_subact_01_ca_{camera:02d}/s_01_act_09_subact_01_ca_{camera:02d}_000002"
        image, plain = (read_image(c.paths.h36m_location / f"{name}.jpg").astype(int) for c in (with_chair, without))
        mask, alone = (read_mask(c.paths.masks_location / f"{name}.png") for c in (with_chair, without))
        assert (mask <= alone).all()
        beside = (cv2.dilate(alone, np.ones((3, 3))) == 0) & (np.abs(image - plain).mean(axis=-1) > 20)
        chair_px += int(beside.sum())
        assert not mask[beside].any()
    assert chair_px > 40, "a chair is seen beside the person"


def test_a_sensor_is_one_camera_s_own():
    plain = make_sensor(1, 1, 0, 0.0)
    np.testing.assert_array_equal(plain.gains, 1)
    assert plain.gamma == 1
    first, again, other = make_sensor(1, 1, 0, 1.0), make_sensor(1, 1, 0, 1.0), make_sensor(1, 2, 0, 1.0)
    np.testing.assert_array_equal(first.gains, again.gains)
    assert first.gamma == again.gamma != other.gamma and np.abs(first.gains - other.gains).max() > 0.01
    gains = np.stack([make_sensor(subject, 1, 0, 1.0).gains for subject in range(200)])
    assert gains.min() > 0.35 and gains.max() < 2.8 and abs(np.log(gains).mean()) < 0.06


def test_hard_pictures_show_whole_people(made_hard):
    for folder in FOLDERS[:4]:
        meta = load_meta(made_hard / "frames" / folder / "h36m_meta.mat")
        assert abs(meta.camera.focal_px[0] / SIZE_PX - 1.147) > 0.01
        for row, joints_world_m in enumerate(meta.joints_world_m):
            mask = read_mask(made_hard / "masks" / folder / f"{folder}_{row + 1:06d}.png")
            joints_img_px = project(meta.camera, to_camera(meta.camera, joints_world_m))
            assert (joints_img_px > 0).all() and (joints_img_px < SIZE_PX).all()
            columns, rows = joints_img_px.astype(int).T
            near = cv2.dilate((mask > 128).astype(np.uint8), np.ones((5, 5)))
            assert near[rows, columns].sum() >= 13, "things may hide some joints"

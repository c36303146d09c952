"""What rows read, and what is written about it."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from config import (
    ASSETS,
    PRESETS,
    Crop,
    EncDecConfig,
    ImageLoss,
    MasksConfig,
    MeshConfig,
    MeshLoss,
    PoseConfig,
    PoseSources,
)
from models.encoder_decoder import load_encoder
from models.GAN import prior_reads
from models.pose_from_latent import load_pose
from models.SMPL_from_latent import load_mesh
from utils.tiers import (
    NOTHING,
    Reads,
    is_seen,
    of_people,
    of_poses,
    of_stage_1,
    of_stage_2,
    of_stage_4,
    of_teacher,
    of_unknown_people,
    reads_from,
    stated,
)

ALL = (1, 5, 6, 7, 8)
CPU = torch.device("cpu")
PAPER = replace(EncDecConfig(), crop=Crop(centre="pelvis"), loss=ImageLoss(opacity=0, person=1))


def test_the_default_reads_no_label_in_stage_1_and_joints_of_the_labelled_in_stages_2_and_4():
    first = of_stage_1(EncDecConfig())
    assert first.tier == "pixels + cameras + masks" and not first.root
    second = of_stage_2(PoseConfig(Path("a")), Crop(), first)
    assert second.tier == "pixels + cameras + masks + S1's joints"
    fourth = of_stage_4(MeshConfig(Path("a")), Crop(), first)
    assert fourth.tier == "pixels + cameras + masks + unpaired poses + S1's joints"
    assert fourth.masks == frozenset(ALL) and fourth.joints == {1} and not fourth.root


def test_the_papers_crops_read_the_root_of_everybody():
    first = of_stage_1(PAPER)
    assert first.tier == "pixels + cameras + root" and first.root == frozenset(ALL)
    loss = MeshLoss(prior=0, soft_iou=0, mesh_to_mask=0, mask_to_mesh=0)
    fourth = of_stage_4(MeshConfig(Path("a"), loss=loss), PAPER.crop, first)
    assert fourth.tier == "pixels + cameras + root + S1's joints"
    alone = of_stage_4(MeshConfig(Path("a"), loss=loss, silhouettes_of=(1,)), PAPER.crop, NOTHING)
    assert alone.tier == "pixels + cameras + S1's joints", "the labelled subject's root is one of their joints"


def test_keypoints_that_a_user_gives_have_a_word_of_their_own():
    given = Reads(poses=frozenset({"cmu"}), given=frozenset({0}))
    assert given.tier == "unpaired poses + given 2D keypoints"
    assert reads_from(given.plain()) == given
    assert (given | Reads(keypoints=frozenset({0}))).tier == (
        "unpaired poses + pretrained 2D keypoints + given 2D keypoints"
    )


@pytest.mark.parametrize("preset", ["rhodin", "seed"])
def test_the_presets_of_the_papers_read_the_root_and_the_others_do_not(preset):
    assert of_stage_1(PRESETS[preset]().enc_dec).tier == "pixels + cameras + root"
    assert PRESETS[preset]().preprocess.centre == "pelvis"
    assert all(PRESETS[other]().enc_dec.crop.centre == "masks" for other in ("demo", "views", "full"))


def test_a_network_from_scratch_reads_its_labelled_people_alone():
    for mode in ("scratch", "random"):
        reads = of_stage_2(PoseConfig(Path("a"), mode=mode), PAPER.crop, of_stage_1(PAPER))
        assert reads.pixels == {1} and reads.tier == "pixels + cameras + S1's joints"


def test_labels_of_all_and_of_some_and_from_keypoints_are_told_apart():
    seen = Reads(pixels=frozenset(ALL), cameras=frozenset(ALL), root=frozenset(ALL))
    assert (seen | Reads(joints=frozenset(ALL))).tier == "pixels + cameras + all labels"
    assert (seen | Reads(joints=frozenset({1, 5}))).tier == "pixels + cameras + root + joints of S1, S5"
    imported = Reads(pixels=frozenset({20}), cameras=frozenset({20}), keypoints=frozenset({20}))
    assert imported.tier == "pixels + cameras + pretrained 2D keypoints"
    labelled = Reads(root=frozenset({20, 21}), joints=frozenset({20}))
    assert labelled.triangulated([20]) == Reads(root=frozenset({21}), keypoints=frozenset({20}))
    assert Reads(joints=frozenset({1})).tier == "S1's joints" and NOTHING.tier == "nothing"


def test_the_teacher_reads_poses_and_where_people_are():
    assert of_teacher(MasksConfig(cameras="any")).tier == "unpaired poses"
    assert of_teacher(MasksConfig()).tier == "cameras + masks + unpaired poses"
    assert of_teacher(MasksConfig(centre="pelvis")).tier == "cameras + root + unpaired poses"
    assert of_poses(PoseSources(cmu=Path("c"), generator=False)).poses == {"cmu"}


def test_what_was_read_comes_back_from_plain_types():
    reads = Reads(pixels=frozenset({9, 11}), poses=frozenset({"generator"}))
    assert reads.plain() == {"pixels": [9, 11], "poses": ["generator"]} and reads_from(reads.plain()) == reads
    told = stated(reads, NOTHING, {"constant_pose": Reads(joints=frozenset({1}))})
    assert told["reads_at_test"] == {} and told["tier_of"] == {"constant_pose": "S1's joints"}


def test_people_are_known_by_data_set_and_number():
    ours = Reads(pixels=frozenset({1, 5})) | of_people("Human3.6M", (1, 5))
    seen = {data_set: is_seen(1, data_set, ours) for data_set in ("Human3.6M", "embedded data, seed 0", "index ab")}
    assert seen == {"Human3.6M": True, "embedded data, seed 0": False, "index ab": None}
    assert is_seen(9, "Human3.6M", ours) is False and is_seen(9, "index ab", ours) is False
    unnamed = Reads(masks=frozenset({1})) | of_people("index ab", (1,))
    assert (is_seen(1, "index ab", unnamed), is_seen(1, "Human3.6M", unnamed)) == (True, None)
    assert reads_from(ours.plain()) == ours and ours.tier == "pixels"


def test_files_of_earlier_versions_do_not_tell_who_their_numbers_are():
    before = of_unknown_people(Reads(pixels=frozenset({1})))
    after = before | Reads(pixels=frozenset({1, 5})) | of_people("Human3.6M", (1, 5))
    assert is_seen(1, "embedded data, seed 0", after) is None, "stage 1 may have seen that S1"
    assert is_seen(1, "Human3.6M", after) is True and is_seen(5, "embedded data, seed 0", after) is False
    assert of_unknown_people(after) == after and of_unknown_people(NOTHING) == NOTHING
    assert is_seen(1, "embedded data, seed 0", load_encoder(ASSETS / "open_weights.pt").reads) is None


def test_the_committed_weights_tell_that_they_read_the_root():
    assert load_encoder(ASSETS / "open_weights.pt").reads.tier == "pixels + cameras + root + masks"
    pose, body = load_pose(ASSETS / "open_weights.pt", CPU), load_mesh(ASSETS / "open_mesh.pt", CPU)
    assert pose.reads.tier == "pixels + cameras + root + masks + S1's joints" and 27 in pose.reads.root
    assert body.reads.tier == "pixels + cameras + root + masks + unpaired poses + S1's joints"
    assert prior_reads(ASSETS / "open_prior.pt").poses == {"cmu", "generator"}

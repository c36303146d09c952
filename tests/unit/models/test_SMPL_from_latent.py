import pytest
import roma
import torch

from config import Crop, DecoderConfig, EncDecConfig, EncoderConfig, MeshHeadConfig, Paths
from models.encoder_decoder import build_encoder_decoder
from models.kinematics import along_the_tree, relative_to_parent, upright_rotations
from models.smpl import load_body
from models.SMPL_from_latent import BodyEstimate, MeshFromImage, MeshFromLatent, rooted_body
from utils.skeleton import H36M_17, SMPL_24, SMPL_24_PARENTS

KINDS = ["crop", "parent", "seed"]


def small_head(kind="crop", **changes) -> MeshFromLatent:
    return MeshFromLatent(12, MeshHeadConfig(**({"kind": kind, "hidden": 16} | changes)))


def small_network(kind="crop") -> MeshFromImage:
    settings = EncDecConfig(
        crop=Crop(size_px=32), encoder=EncoderConfig(width=8, points=12), decoder=DecoderConfig(width=8)
    )
    return MeshFromImage(build_encoder_decoder(settings), small_head(kind), provenance={"body_hash": "abc"})


@pytest.fixture(scope="module")
def body():
    return load_body(Paths().models_smpl_location)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("batch", [1, 5])
def test_rotations_are_rotations_however_large_the_numbers_are(kind, batch):
    head = small_head(kind).eval()
    torch.nn.init.normal_(head.last.weight, std=20)
    estimate = head(torch.randn(batch, 12, 3))
    R = estimate.rotations_crop
    assert R.shape == (batch, 24, 3, 3) and estimate.betas.shape == (batch, 10)
    assert torch.allclose(R @ R.mT, torch.eye(3).expand_as(R), atol=1e-4)
    assert torch.allclose(torch.linalg.det(R), torch.ones(batch, 24), atol=1e-4)


@pytest.mark.parametrize("kind", ["crop", "parent"])
def test_training_begins_with_a_person_who_stands_upright_and_faces_the_camera(kind, body):
    head = small_head(kind).eval()
    torch.nn.init.zeros_(head.last.weight)
    estimate = head(torch.randn(2, 12, 3))
    assert torch.allclose(estimate.rotations_crop, upright_rotations().expand(2, 24, 3, 3), atol=1e-5)
    assert estimate.betas.abs().max() == 0
    joints_m = dict(zip(H36M_17, rooted_body(body, estimate).joints_root_m[0], strict=True))
    assert joints_m["head_top"][1] < -0.5 and joints_m["left_ankle"][1] > 0.6, "the camera's y points down"
    assert joints_m["left_hip"][0] > 0.05 > -0.05 > joints_m["right_hip"][0], "whose left is right in the picture"
    assert joints_m["nose"][2] < joints_m["head_top"][2], "and whose nose is nearer than the head's middle"
    assert joints_m["left_wrist"][1] > joints_m["left_shoulder"][1] + 0.35, "arms hang"


def test_zero_of_the_predecessors_head_is_the_t_pose_facing_the_camera():
    head = small_head("seed").eval()
    torch.nn.init.zeros_(head.last.weight)
    R = head(torch.randn(1, 12, 3)).rotations_crop[0]
    assert torch.allclose(R[0], torch.diag(torch.tensor([1.0, -1.0, -1.0])))
    assert torch.allclose(R[1:], torch.eye(3).expand(23, 3, 3))


@pytest.mark.parametrize("kind", KINDS)
def test_every_head_can_begin_at_rest_or_standing(kind):
    for base, joints in (("rest", torch.eye(3).expand(23, 3, 3)), ("standing", upright_rotations()[1:])):
        head = MeshFromLatent(12, MeshHeadConfig(kind=kind, hidden=8, base=base)).eval()
        torch.nn.init.zeros_(head.last.weight)
        with torch.autocast("cpu", torch.bfloat16):
            R = head(torch.randn(1, 12, 3)).rotations_crop[0]
        assert R.dtype == torch.float32
        assert torch.allclose(R[0], torch.diag(torch.tensor([1.0, -1.0, -1.0])), atol=1e-5)
        assert torch.allclose(R[1:], joints, atol=1e-5)


def test_the_predecessors_head_cannot_turn_a_person_around_and_ours_can():
    facing = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    about_turn = torch.diag(torch.tensor([-1.0, -1.0, 1.0]))
    farthest = {}
    for kind in KINDS:
        head = small_head(kind).eval()
        torch.nn.init.normal_(head.last.weight, std=50)
        R = head(torch.randn(500, 12, 3)).rotations_crop[:, 0]
        farthest[kind] = roma.rotmat_geodesic_distance(R, facing.expand_as(R)).max().rad2deg().item()
        numbers = head.last.bias.detach()
        numbers[:6] = torch.tensor([-10.0, 0, 0, -10, 0, 0]) if kind != "seed" else torch.tensor([0, 99.0, 0, 0, 0, 0])
        torch.nn.init.zeros_(head.last.weight)
        turned = head(torch.zeros(1, 12, 3)).rotations_crop[:, 0]
        apart = roma.rotmat_geodesic_distance(turned, about_turn[None]).rad2deg().item()
        assert (apart < 1) == (kind != "seed"), f"{kind} stays {apart:.0f} degrees away"
    assert farthest["seed"] < 99.3 < 170 < min(farthest["crop"], farthest["parent"]), farthest


def test_relative_rotations_and_those_in_the_crop_turn_into_each_other():
    relative = roma.random_rotmat((3, 24))
    total = along_the_tree(relative)
    assert torch.allclose(relative_to_parent(total), relative, atol=1e-5)
    elbow, wrist = SMPL_24.index("left_elbow"), SMPL_24.index("left_wrist")
    assert SMPL_24_PARENTS[wrist] == elbow
    assert torch.allclose(total[:, elbow] @ relative[:, wrist], total[:, wrist], atol=1e-5)


def test_turning_every_rotation_of_the_crop_turns_the_body(body):
    total, R = along_the_tree(roma.random_rotmat((2, 24))), roma.random_rotmat(2)
    betas = torch.randn(2, 10)
    plain = rooted_body(body, BodyEstimate(relative_to_parent(total), betas))
    turned = rooted_body(body, BodyEstimate(relative_to_parent(R[:, None] @ total), betas))
    assert torch.allclose(turned.vertices_root_m, plain.vertices_root_m @ R.mT, atol=1e-5)


def test_bodies_have_their_pelvis_at_the_origin_and_the_joints_of_the_joints_body_are_the_same(body):
    estimate = BodyEstimate(roma.random_rotmat((3, 24)), torch.randn(3, 10))
    whole, few = rooted_body(body, estimate), rooted_body(body.joints_only(), estimate)
    assert whole.joints_root_m[:, H36M_17.index("pelvis")].abs().max() == 0
    assert torch.allclose(whole.joints_root_m, few.joints_root_m, atol=1e-6)
    assert torch.allclose(body.h36m_joints_m(whole.vertices_root_m), whole.joints_root_m, atol=1e-5), (
        "vertices and joints are about the same point"
    )
    assert few.vertices_root_m.shape[1] < whole.vertices_root_m.shape[1] / 20


def test_training_moves_nothing_of_the_encoder_not_even_batch_norm_statistics():
    network = small_network()
    before = {name: value.clone() for name, value in network.encoder.state_dict().items()}
    head_before = {name: value.clone() for name, value in network.head.named_buffers()}
    network.train()
    assert network.head.training and not network.encoder.training
    network(torch.rand(6, 3, 32, 32)).betas.sum().backward()
    assert all(torch.equal(value, before[name]) for name, value in network.encoder.state_dict().items())
    assert all(parameter.grad is None for parameter in network.encoder.parameters())
    assert any(not torch.equal(value, head_before[name]) for name, value in network.head.named_buffers())


def test_points_and_the_image_they_were_read_from_give_the_same_body():
    network = small_network().eval()
    image = torch.rand(2, 3, 32, 32)
    by_image, by_points = network(image), network(network.encoder.encode_points(image))
    assert torch.equal(by_image.rotations_crop, by_points.rotations_crop)
    assert torch.equal(by_image.betas, by_points.betas)


def test_where_the_network_comes_from_travels_with_the_weights():
    network, other = small_network(), small_network()
    other.provenance = {}
    other.load_state_dict(network.state_dict(), strict=True)
    assert other.provenance == {"body_hash": "abc"}

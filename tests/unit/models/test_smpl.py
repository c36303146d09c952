import io
import pickle

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from config import Paths
from models.smpl import Body, load_body, rotations_from_theta
from tests.benchmarks.bench_smplx import furthest_m, with_pose_directions
from utils.body_file import BodyFile, read_body_file
from utils.skeleton import H36M_17, SMPL_24, SMPL_24_PARENTS

OPEN_BODY = Paths().models_smpl_location
EYE = torch.eye(3, dtype=torch.float64)


def small_file(num_vertices=20, num_directions=10, seed=0, parents=SMPL_24_PARENTS) -> BodyFile:
    joints = len(parents)
    rng = np.random.default_rng(seed)

    def shares(rows, columns):
        values = rng.uniform(size=(rows, columns))
        return values / values.sum(axis=1, keepdims=True)

    return BodyFile(
        v_template=rng.normal(size=(num_vertices, 3)),
        shapedirs=0.1 * rng.normal(size=(num_vertices, 3, num_directions)),
        posedirs=0.1 * rng.normal(size=(num_vertices, 3, 9 * (joints - 1))),
        J_regressor=shares(joints, num_vertices),
        weights=shares(num_vertices, joints),
        parents=np.array(parents),
        faces=rng.integers(0, num_vertices, (30, 3)),
        J_regressor_h36m=shares(17, num_vertices),
    )


def random_inputs(count, num_betas=10, seed=0, joints=24):
    generator = torch.Generator().manual_seed(seed)
    theta = 0.7 * torch.randn(count, 3 * joints, generator=generator, dtype=torch.float64)
    betas = torch.randn(count, num_betas, generator=generator, dtype=torch.float64)
    return theta, betas, torch.randn(count, 3, generator=generator, dtype=torch.float64)


def smpl_slowly(file: BodyFile, theta: np.ndarray, betas: np.ndarray, translation_m: np.ndarray):
    """SMPL, equations 2 to 12, one vertex and one joint after the other, with 4x4 matrices."""
    R = [Rotation.from_rotvec(theta[3 * joint : 3 * joint + 3]).as_matrix() for joint in range(len(file.parents))]
    feature = np.array([R[joint] - np.eye(3) for joint in range(1, len(R))]).ravel()
    feature = feature[: file.posedirs.shape[2]]
    shaped = [
        file.v_template[vertex] + sum(file.shapedirs[vertex, :, n] * betas[n] for n in range(len(betas)))
        for vertex in range(len(file.v_template))
    ]
    regressor = file.J_regressor if isinstance(file.J_regressor, np.ndarray) else file.J_regressor.toarray()
    rest_joints = [sum(row[v] * shaped[v] for v in np.flatnonzero(row)) for row in regressor]
    world = []
    for joint in range(len(R)):
        parent = file.parents[joint]
        local = np.eye(4)
        local[:3, :3] = R[joint]
        local[:3, 3] = rest_joints[joint] - (rest_joints[parent] if joint else 0)
        world.append(world[parent] @ local if joint else local)
    from_rest = []
    for joint in range(len(R)):
        back = np.eye(4)
        back[:3, 3] = -rest_joints[joint]
        from_rest.append(world[joint] @ back)
    vertices = []
    for vertex, point in enumerate(shaped):
        corrected = np.append(point + file.posedirs[vertex] @ feature, 1.0)
        posed = sum(file.weights[vertex, joint] * (from_rest[joint] @ corrected) for joint in range(len(R)))
        vertices.append(posed[:3] + translation_m)
    return np.array(vertices), np.array([matrix[:3, 3] + translation_m for matrix in world])


def farthest_m(a, b) -> float:
    return float(np.linalg.norm(np.asarray(a) - np.asarray(b), axis=-1).max())


@pytest.mark.parametrize(("dtype", "limit_m"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.parametrize("num_directions", [10, 300])
def test_a_body_with_pose_directions_agrees_with_the_slow_reference(dtype, limit_m, num_directions):
    file = small_file(num_directions=num_directions)
    theta, betas, translation_m = random_inputs(3, num_directions)
    betas *= (10 / num_directions) ** 0.5
    output = Body(file, dtype)(rotations_from_theta(theta).to(dtype), betas.to(dtype), translation_m.to(dtype))
    for row in range(3):
        vertices_m, joints_m = smpl_slowly(file, theta[row].numpy(), betas[row].numpy(), translation_m[row].numpy())
        assert farthest_m(output.vertices_m[row], vertices_m) < limit_m
        assert farthest_m(output.joints_m[row], joints_m) < limit_m


TREES = {"one": (-1,), "chain": (-1, 0, 1), "branched": (-1, 0, 1, 0, 3, 4, 3), "many": (-1, *range(30))}


@pytest.mark.parametrize("name", TREES)
@pytest.mark.parametrize("has_offsets", [True, False])
def test_any_skeleton_agrees_with_the_slow_reference(name, has_offsets):
    file = small_file(parents=TREES[name])
    file = file if has_offsets else file._replace(posedirs=file.posedirs[:, :, :0])
    theta, betas, translation_m = random_inputs(2, joints=len(file.parents))
    body = Body(file, torch.float64)
    output = body(rotations_from_theta(theta), betas, translation_m)
    for row in range(2):
        vertices_m, joints_m = smpl_slowly(file, theta[row].numpy(), betas[row].numpy(), translation_m[row].numpy())
        assert farthest_m(output.vertices_m[row], vertices_m) < 1e-12
        assert farthest_m(output.joints_m[row], joints_m) < 1e-12
    assert not body.has_smpl_joints and body.names == tuple(f"joint_{number}" for number in range(len(file.parents)))


def test_what_needs_smpls_joints_says_so_of_a_body_without_them(tmp_path):
    file = small_file(parents=TREES["branched"])
    np.savez(tmp_path / "animal.npz", v_template=file.v_template, shapedirs=file.shapedirs, posedirs=file.posedirs,
             J_regressor=file.J_regressor, weights=file.weights, f=file.faces,
             kintree_table=np.array([file.parents, range(7)]))  # fmt: skip
    assert len(load_body(tmp_path / "animal.npz").parents) == 7
    with pytest.raises(
        ValueError, match=r"animal.npz is a model of another skeleton .20 vertices, 7 joints.; .* for stage 4"
    ):
        load_body(tmp_path / "animal.npz", needs_smpl_joints="stage 4")
    assert load_body(OPEN_BODY, needs_smpl_joints="stage 4").has_smpl_joints


def test_the_embedded_body_agrees_with_the_slow_reference_to_a_hundredth_of_a_millimetre():
    from utils.body_file import read_body_file

    file = read_body_file(OPEN_BODY)
    few = np.unique(np.concatenate([np.arange(0, len(file.v_template), 40), np.flatnonzero(file.J_regressor.any(0))]))
    sliced = file._replace(
        v_template=file.v_template[few].astype(float),
        shapedirs=file.shapedirs[few].astype(float),
        posedirs=file.posedirs[few].astype(float),
        J_regressor=file.J_regressor[:, few].astype(float),
        weights=file.weights[few].astype(float),
    )
    theta, betas, translation_m = random_inputs(2)
    output = load_body(OPEN_BODY)(rotations_from_theta(theta).float(), betas.float(), translation_m.float())
    for row in range(2):
        vertices_m, joints_m = smpl_slowly(sliced, theta[row].numpy(), betas[row].numpy(), translation_m[row].numpy())
        assert farthest_m(output.vertices_m[row, few], vertices_m) < 1e-5
        assert farthest_m(output.joints_m[row], joints_m) < 1e-5


def test_no_pose_and_no_shape_give_the_template():
    body = load_body(OPEN_BODY, torch.float64)
    output = body(EYE.expand(1, 24, 3, 3), torch.zeros(1, 10).double(), torch.zeros(1, 3).double())
    assert farthest_m(output.vertices_m[0], body.template_m) < 1e-6
    assert farthest_m(output.joints_m[0], body.rest_joints_m(torch.zeros(1, 10).double())[0]) < 1e-12


def test_turning_the_root_turns_the_body_about_the_pelvis_joint():
    body = Body(small_file(), torch.float64)
    theta, betas, translation_m = random_inputs(4)
    R = rotations_from_theta(theta)
    turn = rotations_from_theta(random_inputs(4, seed=1)[0])[:, 0]
    before = body(R, betas, translation_m)
    turned = torch.cat([turn[:, None] @ R[:, :1], R[:, 1:]], dim=1)
    after = body(turned, betas, translation_m)
    pivot_m = body.rest_joints_m(betas)[:, :1] + translation_m[:, None]
    for a, b in zip(after, before, strict=True):
        assert farthest_m(a, (b - pivot_m) @ turn.transpose(1, 2) + pivot_m) < 1e-12


def test_translation_moves_everything_by_the_same():
    body = Body(small_file(), torch.float64)
    theta, betas, translation_m = random_inputs(2)
    R = rotations_from_theta(theta)
    moved, still = body(R, betas, translation_m), body(R, betas, torch.zeros_like(translation_m))
    assert farthest_m(moved.vertices_m - still.vertices_m, translation_m[:, None].expand(-1, 20, -1)) < 1e-12
    assert farthest_m(moved.joints_m - still.joints_m, translation_m[:, None].expand(-1, 24, -1)) < 1e-12


def test_bones_keep_their_length_in_any_pose():
    body = load_body(OPEN_BODY, torch.float64)
    theta, betas, translation_m = random_inputs(5)
    joints_m = body(rotations_from_theta(theta), betas, translation_m).joints_m
    rest_m = body.rest_joints_m(betas)
    parents = list(SMPL_24_PARENTS[1:])
    lengths = [(j[:, 1:] - j[:, parents]).norm(dim=-1) for j in (joints_m, rest_m)]
    assert (lengths[0] - lengths[1]).abs().max() < 1e-12


def test_gradients_are_right_for_rotations_shape_and_translation():
    body = Body(small_file(num_vertices=5), torch.float64)
    theta, betas, translation_m = random_inputs(1)
    inputs = [rotations_from_theta(theta), betas, translation_m]
    for tensor in inputs:
        tensor.requires_grad_()
    assert torch.autograd.gradcheck(lambda *x: tuple(body(*x)), inputs)
    assert torch.autograd.gradcheck(lambda *x: body.h36m_joints_m(body(*x).vertices_m), inputs)


def test_the_gradient_of_theta_is_finite_and_right_at_zero():
    body = Body(small_file(num_vertices=5), torch.float64)
    theta = torch.zeros(1, 72, dtype=torch.float64, requires_grad=True)
    betas, translation_m = torch.zeros(1, 10).double(), torch.zeros(1, 3).double()
    assert torch.autograd.gradcheck(lambda t: body(rotations_from_theta(t), betas, translation_m).vertices_m, theta)


@pytest.mark.parametrize("count", [0, 1, 7])
@pytest.mark.parametrize("num_betas", [0, 3, 10])
def test_any_batch_and_fewer_betas_than_directions(count, num_betas):
    body = Body(small_file(), torch.float64)
    theta, betas, translation_m = random_inputs(count, 10)
    padded = torch.cat([betas[:, :num_betas], torch.zeros(count, 10 - num_betas).double()], dim=1)
    short = body(rotations_from_theta(theta), betas[:, :num_betas], translation_m)
    full = body(rotations_from_theta(theta), padded, translation_m)
    assert short.vertices_m.shape == (count, 20, 3) and short.joints_m.shape == (count, 24, 3)
    assert body.h36m_joints_m(short.vertices_m).shape == (count, 17, 3)
    torch.testing.assert_close(short.vertices_m, full.vertices_m)


def test_a_body_in_a_batch_equals_the_same_body_alone():
    body = Body(small_file(), torch.float64)
    inputs = random_inputs(6)
    whole = body(rotations_from_theta(inputs[0]), *inputs[1:]).vertices_m
    alone = body(*(x[4:5] for x in (rotations_from_theta(inputs[0]), *inputs[1:]))).vertices_m
    torch.testing.assert_close(whole[4:5], alone)


def test_too_many_betas_are_refused():
    theta, betas, translation_m = random_inputs(1, 11)
    with pytest.raises(ValueError, match="11 betas"):
        Body(small_file(), torch.float64)(rotations_from_theta(theta), betas, translation_m)


def test_h36m_joints_are_the_regressor_times_the_surface():
    file = small_file()
    vertices_m = torch.randn(2, 20, 3, dtype=torch.float64)
    joints_m = Body(file, torch.float64).h36m_joints_m(vertices_m)
    for row in range(2):
        assert farthest_m(joints_m[row], file.J_regressor_h36m @ vertices_m[row].numpy()) < 1e-12


def test_bodies_are_measured_by_what_their_file_tells_else_by_their_own_joints():
    file = small_file(parents=TREES["branched"])._replace(J_regressor_h36m=None)
    theta, betas, translation_m = random_inputs(2, joints=7)
    bare, rotations = Body(file, torch.float64), rotations_from_theta(theta)
    out = bare(rotations, betas, translation_m)
    assert bare.evaluated_joints_m(*out) is out.joints_m and bare.evaluated_names == bare.names
    regressor = np.full((2, 20), 1 / 20)
    own = Body(file._replace(J_regressor_evaluated=regressor, evaluated_names=("nose", "tail")), torch.float64)
    torch.testing.assert_close(own.evaluated_joints_m(*out)[:, 1], out.vertices_m.mean(dim=1))
    assert own.evaluated_names == ("nose", "tail") and not own.has_h36m_joints
    human = Body(small_file(), torch.float64)
    assert human.evaluated_names == H36M_17
    torch.testing.assert_close(
        human.evaluated_joints_m(out.vertices_m, out.joints_m), human.h36m_joints_m(out.vertices_m)
    )


def test_without_a_17_joint_regressor_the_error_tells_the_remedy(tmp_path):
    body = Body(small_file()._replace(J_regressor_h36m=None))
    with pytest.raises(ValueError, match="h36m_regressor_location"):
        body.h36m_joints_m(torch.zeros(1, 20, 3))


def test_a_17_joint_regressor_can_be_given_beside_a_file_without_one(tmp_path):
    file = small_file()
    content = {
        "v_template": file.v_template,
        "shapedirs": file.shapedirs,
        "posedirs": file.posedirs,
        "J_regressor": file.J_regressor,
        "weights": file.weights,
        "kintree_table": np.array([SMPL_24_PARENTS, range(24)]),
        "f": file.faces,
    }
    (tmp_path / "body.pkl").write_bytes(pickle.dumps(content, 2))
    np.save(tmp_path / "regressor.npy", file.J_regressor_h36m)
    body = load_body(tmp_path / "body.pkl", torch.float64, tmp_path / "regressor.npy")
    vertices_m = torch.randn(1, 20, 3, dtype=torch.float64)
    assert farthest_m(body.h36m_joints_m(vertices_m)[0], file.J_regressor_h36m @ vertices_m[0].numpy()) < 1e-12


def test_no_checkpoint_carries_the_body():
    body = load_body(OPEN_BODY)
    assert not body.state_dict() and not list(body.parameters())
    stream = io.BytesIO()
    torch.save(body.state_dict(), stream)
    assert stream.tell() < 2000


def test_bending_the_left_elbow_in_the_t_pose_brings_the_left_hand_forward_only():
    body = load_body(OPEN_BODY, torch.float64)
    theta = torch.zeros(1, 24, 3, dtype=torch.float64)
    theta[0, SMPL_24.index("left_elbow"), 1] = -np.pi / 2
    still = body(rotations_from_theta(0 * theta.flatten(1)), torch.zeros(1, 10).double(), torch.zeros(1, 3).double())
    bent = body(rotations_from_theta(theta.flatten(1)), torch.zeros(1, 10).double(), torch.zeros(1, 3).double())
    moved_m = (body.h36m_joints_m(bent.vertices_m) - body.h36m_joints_m(still.vertices_m))[0]
    left_wrist = H36M_17.index("left_wrist")
    assert moved_m[left_wrist, 2] > 0.2 and moved_m[left_wrist, 0] < -0.2
    others = [row for row, name in enumerate(H36M_17) if name not in ("left_wrist", "left_elbow")]
    assert moved_m[others].norm(dim=-1).max() < 1e-9


def test_the_package_smplx_gives_the_same_body():
    """Where it is installed; the one that smplpytorch computes, too, which installs no more."""
    pytest.importorskip("smplx")
    posed = with_pose_directions(read_body_file(OPEN_BODY))
    assert furthest_m(posed, torch.float64) < 1e-6, "smplx adds 1e-8 to axis-angles"
    assert furthest_m(posed, torch.float32) < 5e-6, "bodies lie up to 4 m from the origin, where float32 steps 5e-7"

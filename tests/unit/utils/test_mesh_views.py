import numpy as np
import pytest
import torch

from dataset_def.crop import crop_camera
from tests.helpers.tiny_h36m import looking_camera
from utils.camera import project, to_camera
from utils.views import MeshViews, placed_in_views, vertex_surface_share

SIZE_PX, SIDE_M = 64, 2.3


def views_of(targets_m: list[np.ndarray], numbers=(1, 2, 3, 4)) -> tuple[MeshViews, list]:
    """One instant seen by some cameras, each crop looking at its own target."""
    sources = [looking_camera(number, 200, 200) for number in numbers]
    cameras = [crop_camera(c, t, SIZE_PX, SIDE_M) for c, t in zip(sources, targets_m, strict=True)]

    def stacked(values):
        return torch.from_numpy(np.stack(values).astype(np.float32))[None]

    empty = torch.zeros(1, len(numbers), SIZE_PX, SIZE_PX)
    views = MeshViews(
        mask=empty,
        distance_to_mask_m=empty,
        exists=torch.ones(1, len(numbers), dtype=torch.bool),
        R_crop_from_world=stacked([c.R_cam_from_world for c in cameras]),
        centre_world_m=stacked([c.centre_world_m for c in cameras]),
        focal_px=stacked([c.focal_px[0] for c in cameras]),
        target_world_m=stacked(targets_m),
    )
    return views, cameras


@pytest.mark.parametrize("num_views", [1, 2, 4])
def test_vertices_land_where_the_camera_sees_them_if_the_crop_looks_at_the_pelvis(num_views):
    pelvis_m = np.array([0.3, -0.4, 0.95])
    views, cameras = views_of([pelvis_m] * num_views, tuple(range(1, num_views + 1)))
    about_pelvis_m = np.random.default_rng(0).normal(size=(7, 3)) * 0.4
    found = placed_in_views(torch.from_numpy(about_pelvis_m.astype(np.float32))[None], views, "pelvis")
    assert found.shape == (1, num_views, 7, 3)
    for view, camera in enumerate(cameras):
        points_cam_m = to_camera(camera, about_pelvis_m + pelvis_m)
        assert np.allclose(found[0, view, :, :2], project(camera, points_cam_m), atol=1e-3)
        assert np.allclose(found[0, view, :, 2], points_cam_m[:, 2], atol=1e-5)


def test_the_pelvis_is_in_the_middle_of_a_pelvis_crop():
    views, _ = views_of([np.array([0.1, 0.2, 0.9])] * 2, (1, 3))
    found = placed_in_views(torch.zeros(1, 1, 3), views, "pelvis")
    assert torch.allclose(found[..., :2], torch.full((1, 2, 1, 2), SIZE_PX / 2), atol=1e-3)


def test_the_middle_of_the_surface_is_in_the_middle_of_a_crop_on_the_masks():
    views, _ = views_of([np.array([0.1, 0.2, 1.0])] * 4)
    vertices_m = torch.tensor([[[0.0, 0, 0], [0.0, 0, 0.8], [0.0, 0, 1.0]]])
    share = torch.tensor([0.5, 0.25, 0.25])
    found = placed_in_views(vertices_m, views, "masks", share)
    middle = placed_in_views(vertices_m - torch.tensor([0, 0, 0.45]), views, "pelvis")
    assert torch.allclose(found, middle, atol=1e-4)


def test_the_box_of_the_vertices_is_in_the_middle_of_a_crop_on_the_box_in_every_view():
    views, _ = views_of([np.array([0.1, 0.2, 1.0]), np.array([0.0, 0.3, 1.1])], (1, 4))
    vertices_m = 0.3 * torch.randn(1, 9, 3) + 0.2
    found = placed_in_views(vertices_m, views, "box", torch.full((9,), 1 / 9))[..., :2]
    middle = (found.amin(dim=2) + found.amax(dim=2)) / 2
    assert torch.allclose(middle, torch.full_like(middle, SIZE_PX / 2), atol=1e-3)


def test_a_vertex_behind_a_camera_is_refused_unless_that_view_is_padding():
    views, _ = views_of([np.array([0.0, 0.0, 0.9])] * 2, (1, 2))
    behind_m = torch.from_numpy(looking_camera(1, 200, 200).centre_world_m * 1.2).float()[None, None]
    with pytest.raises(ValueError, match="behind a camera"):
        placed_in_views(behind_m, views, "pelvis")
    padded = views._replace(exists=torch.tensor([[False, True]]))
    assert placed_in_views(behind_m, padded, "pelvis").isfinite().all()


def test_vertices_share_the_surface_of_the_faces_at_them():
    square_m = torch.tensor([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [5, 5, 5]])
    share = vertex_surface_share(square_m, torch.tensor([[0, 1, 2], [0, 2, 3]]))
    assert torch.allclose(share, torch.tensor([2, 1, 2, 1, 0]) / 6)

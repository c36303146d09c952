"""Poses that need no image stand beside the network's, as far as labels trained it."""

from types import SimpleNamespace

import numpy as np
import torch

from config import Subjects
from sample.test_pose import Predictions, without_image


def test_a_network_trained_on_fits_alone_has_a_mean_pose_and_no_labels_to_choose_from():
    count = 3
    found = Predictions(torch.zeros(count, 17, 3), torch.zeros(count, 17, 3), torch.eye(3).expand(count, 3, 3),
                        torch.zeros(count, 5, dtype=torch.int64))  # fmt: skip
    head = SimpleNamespace(joints_mean_m=torch.ones(17, 3))
    settings = SimpleNamespace(subjects=Subjects(train=(20,), labelled=(), test=(21,)), sequences=0)
    stored = SimpleNamespace(network=SimpleNamespace(head=head), config=settings)
    data = SimpleNamespace(table=SimpleNamespace(frames=np.array([[21, 14, 1, 1, 1]])))
    poses = without_image(stored, data, found)
    assert poses.keys() == {"mean_pose"} and (poses["mean_pose"] == 1).all()

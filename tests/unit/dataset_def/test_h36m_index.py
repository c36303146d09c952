import numpy as np
import pytest

from dataset_def.h36m_index import (
    FrameTable,
    every_nth,
    select_rows,
    spread_sequences,
    targets_world_m,
    with_known_centre,
)
from tests.helpers.tiny_h36m import looking_camera

HELD_OUT = ((3, 2), (5, 1))


def table(subjects=(1, 5, 9), actions=range(2, 17), frames=4, every=1, has_masks=True) -> FrameTable:
    axes = [subjects, actions, (1, 2), (1, 2), range(1, 1 + frames * every, every)]
    rows = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 5).astype(np.int32)
    count = len(rows)
    joints_m, masks_m, boxes_m = np.zeros((count, 17, 3)), np.ones((count, 3)), np.full((count, 3), 2.0)
    cameras, row_camera, row_instant = [looking_camera(1, 64, 66)], np.zeros(count, int), np.arange(count)
    return FrameTable(
        rows, cameras, row_camera, row_instant, joints_m, masks_m, boxes_m, every, has_masks, fingerprint="hash"
    )


def sequences(frames) -> set[tuple[int, ...]]:
    return {tuple(row) for row in frames[:, :3].tolist()}


def test_train_and_held_out_share_no_sequence_and_make_up_all():
    everything = table()
    train, held_out, whole = (
        everything.frames[select_rows(everything, (1, 5), part, HELD_OUT)] for part in ("train", "held_out", "all")
    )
    assert sequences(train).isdisjoint(sequences(held_out))
    assert len(train) + len(held_out) == len(whole) and set(whole[:, 0].tolist()) == {1, 5}
    assert sequences(held_out) == {(subject, *sequence) for subject in (1, 5) for sequence in HELD_OUT}


def test_subjects_that_are_not_there_and_empty_parts_are_said():
    with pytest.raises(ValueError, match=r"no frames of subjects \[7\], only of \[1, 5, 9\]"):
        select_rows(table(), (1, 7), "all", ())
    with pytest.raises(ValueError, match=r"part 'held_out'.*\(40, 1\)"):
        select_rows(table(), (1,), "held_out", ((40, 1),))


def test_three_sequences_per_subject_lie_far_apart_in_the_list_of_actions():
    everything = table()
    rows = spread_sequences(everything, select_rows(everything, (1, 5), "train", HELD_OUT), 3)
    for subject in (1, 5):
        chosen = sorted(sequences(everything.frames[rows][everything.frames[rows, 0] == subject]))
        actions = [action for _, action, _ in chosen]
        assert len(chosen) == 3 and min(np.diff(actions)) >= 4
    assert len(rows) == 2 * 3 * 2 * 4  # whole sequences, both cameras


def test_no_number_of_sequences_means_all_and_too_many_are_refused():
    everything = table()
    rows = select_rows(everything, (1,), "train", HELD_OUT)
    assert np.array_equal(spread_sequences(everything, rows, 0), rows)
    assert np.array_equal(spread_sequences(everything, rows, 28), rows)
    with pytest.raises(ValueError, match="sequences is 29, but subject 1 has 28"):
        spread_sequences(everything, rows, 29)


@pytest.mark.parametrize("already", [1, 2, 5])
def test_every_second_instant_is_kept_in_all_views(already):
    everything = table(every=already)
    kept = everything.frames[every_nth(everything, np.arange(len(everything.frames)), 2)]
    assert set(kept[:, 4].tolist()) == {1, 1 + 2 * already} and set(kept[:, 3].tolist()) == {1, 2}
    assert len(kept) == len(everything.frames) // 2


def test_frames_without_a_centre_are_left_out_with_a_warning():
    targets_m = np.zeros((6, 3))
    targets_m[2] = np.nan
    with pytest.warns(UserWarning, match="1 of 6 frames"):
        assert with_known_centre(np.arange(6), targets_m, "masks").tolist() == [0, 1, 3, 4, 5]
    with pytest.raises(ValueError, match="no frame has a crop centre"):
        with_known_centre(np.arange(6), targets_m * np.nan, "pelvis")


def test_each_kind_of_centre_is_its_own_and_masks_are_needed_for_two():
    everything = table(frames=1)
    assert [targets_world_m(everything, kind)[0, 0] for kind in ("pelvis", "masks", "box")] == [0.0, 1.0, 2.0]
    with pytest.raises(ValueError, match="without masks"):
        targets_world_m(table(frames=1, has_masks=False), "box")

"""Whom a data set's subject numbers stand for, as far as its folder tells."""

import json
from pathlib import Path

import pytest

from config import Paths
from dataset_def.h36m_writer import lock_data_set
from dataset_def.people import whose_numbers
from dataset_def.synthetic.make_h36m import SyntheticConfig, lock_locations, settings_of


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    found = Paths.under(tmp_path)
    found.h36m_location.mkdir(parents=True)
    return found


def test_a_folder_that_tells_nothing_has_people_of_its_own(paths):
    assert whose_numbers(paths, "0123456789abcdef0123") == "index 0123456789abcdef"


def test_drawn_people_are_known_by_their_seed_whatever_is_drawn_of_them(paths):
    lock_locations(paths, settings_of(SyntheticConfig(paths, size_px=64, frames=3, seed=7)))
    assert whose_numbers(paths, "a") == "embedded data, seed 7"


def test_what_the_converters_wrote_is_human36m(paths):
    lock_data_set(paths.h36m_location, {"every": 5})
    assert whose_numbers(paths, "a") == "Human3.6M"


def test_a_data_set_may_name_its_people(paths):
    told = paths.h36m_location / "data_set.json"
    told.write_text(json.dumps({"people": "our laboratory, 2024"}))
    lock_data_set(paths.h36m_location, {"every": 5})
    assert whose_numbers(paths, "a") == "our laboratory, 2024"
    told.write_text(json.dumps({"people": 3}))
    with pytest.raises(ValueError, match=r"people of .*data_set\.json is 3; give a name in quotes"):
        whose_numbers(paths, "a")

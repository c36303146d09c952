"""Whose numbers the subjects of a data set have: S9 of one data set is not S9 of another."""

import json

from config import Paths
from dataset_def.data_set_file import DRAWN_SETTINGS, read_facts
from dataset_def.h36m_writer import SETTINGS_FILE as CONVERTED_SETTINGS
from utils.tiers import UNNAMED


def whose_numbers(paths: Paths, fingerprint: str) -> str:
    """Name the people that a data set's subject numbers stand for.

    It is what data_set.json says (`people`); else Human3.6M where the converters wrote the frames, and the seed of
    drawn people, who look alike whatever is drawn of them; else nobody says, and it is this very data.

    Args:
        fingerprint: of the data.
    """
    told = read_facts(paths).people
    if told:
        return told
    if (paths.h36m_location / CONVERTED_SETTINGS).is_file():
        return "Human3.6M"
    drawn = paths.h36m_location / DRAWN_SETTINGS
    if drawn.is_file():
        settings = json.loads(drawn.read_text())
        return f"{settings.get('made_by', 'embedded data')}, seed {settings.get('seed', 0)}"
    return f"{UNNAMED}{fingerprint[:16]}"

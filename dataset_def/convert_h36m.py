"""Turn the official Human3.6M download into the layout that all other scripts read.

    python dataset_def/convert_h36m.py --official /data/Human3.6M
    python dataset_def/convert_h36m.py --official /data/Human3.6M --every 10 --size-px 500 --subjects 1 5 9

Reads   metadata.xml; S1/Videos/*.mp4, S1/Poses_D3_Positions/*.cdf, S1/MySegmentsMat/ground_truth_bs/*.mat, S5/...;
        S1/Poses_D2_Positions/*.cdf, where it is there, to check the calibration with
Writes  <h36m_location>/s_01_act_02_subact_01_ca_01/..., <masks_location>/..., <report_location>/report.json; a second
        run goes on where the first one stopped, and converts what was added to the download
Needs   pip install cdflib h5py
Next    dataset_def/h36m_preprocess.py with the same paths and the same --every, then h36m_get_background.py
"""

from functools import partial

from dataset_def.h36m_writer import lock_data_set
from dataset_def.official.convert import convert_recording, is_folder_complete
from dataset_def.official.files import find_recordings
from dataset_def.official.ground_truth import package
from dataset_def.official.metadata import read_metadata
from dataset_def.official.report import check_space, estimate, lines, make_report, save_report
from dataset_def.official.settings import ConvertConfig
from utils.processes import for_each
from utils.settings import start

SETTINGS = ("every", "size_px", "image", "quality", "missing_frames")
"""Settings that change what is written into a folder."""


def main(config: ConvertConfig) -> None:
    """Convert every recording that is not there yet; damaged ones are named at the end."""
    for name in ("cdflib", "h5py") if config.masks else ("cdflib",):
        package(name, "reading the official download")
    metadata = read_metadata(config.metadata or config.official / "metadata.xml")
    found = find_recordings(config, metadata)
    todo = [recording for recording in found.recordings if not is_folder_complete(config, recording.folder)]
    if todo:
        check_space(config, estimate(config, metadata, todo))
        lock_data_set(config.paths.h36m_location, {name: getattr(config, name) for name in SETTINGS})
    outcomes = for_each(partial(convert_recording, config, metadata), todo, config.processes, "converting folders")
    report = make_report(config, found, outcomes)
    save_report(config.report_location / "report.json", report)
    print("\n".join(lines(config, report)))
    if report["problems"]:
        folder, why = next(iter(report["problems"].items()))
        raise ValueError(f"{len(report['problems'])} of {len(found.recordings)} folders could not be converted, and "
                         f"nothing of them was written; {folder}: {why}")  # fmt: skip


if __name__ == "__main__":
    start(main, ConvertConfig)

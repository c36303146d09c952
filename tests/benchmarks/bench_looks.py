"""What networks of stage 1 draw, beyond its error: are people whole, and how few bits does the drawing bear?

    python tests/benchmarks/bench_looks.py "with a critic=runs/enc_dec/crisp/checkpoint_best.pt" "before=other.pt"

Each argument is a name and a checkpoint.  Large tables of the first are rounded to fewer and fewer levels.  Prints and
writes tests/benchmarks/results/looks.{json,md}.
"""

import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import default_collate

from config import ROOT, Pairing, Paths
from dataset_def.h36m_encoder_data import EncoderData
from models.encoder_decoder import EncoderDecoder
from models.exported import LOOKS
from models.stored import load_encoder_decoder
from utils.artifacts import whole_file
from utils.benchmark import save_result
from utils.image_metrics import image_errors
from utils.small_weights import LARGE, in_levels, restored
from utils.views import FlatViews

RESULT = ROOT / "tests" / "benchmarks" / "results" / "looks.json"
GROUPS, SUBJECTS = 150, (9, 11)
PROTOCOL = (
    f"{4 * GROUPS} images of S9 and S11, always another camera, looks from another instant; L1 and SSIM in the box of "
    "the person; outline: IoU of the drawn opacity and the mask, above one half; half transparent "
    "%: twice the sum of min(opacity, 1 - opacity) over the mask's area (the edges of true masks have some); levels: "
    "largest whole number of a row; bytes: its tables deflated"
)


def open_views(network_crop: Any) -> FlatViews:
    """Read images spread over the test subjects."""
    pairing = Pairing(same_view=0.0, appearance_from="other_time")
    data = EncoderData(Paths(), network_crop, SUBJECTS, "all", (), pairing, 0.0, 0)
    rows = np.linspace(0, len(data) - 1, GROUPS).round().astype(int)
    return default_collate([data[0, int(row)] for row in rows]).paired()


def half_transparent_percent(opacity: Tensor, mask: Tensor) -> float:
    return 200 * (torch.minimum(opacity, 1 - opacity).sum() / mask.sum()).item()


@torch.no_grad()
def measured(network: EncoderDecoder, views: FlatViews) -> dict[str, float]:
    """Draw every target view and compare it with the true one."""
    drawn = network.eval()(views.image, views.image, views.R_target_from_source, views.target_background,
                           views.appearance_row)  # fmt: skip
    errors = image_errors(drawn[:, :3].clamp(0, 1), views.target_image, views.target_mask)
    ours, true = drawn[:, 3] > 0.5, views.target_mask[:, 0] > 0.5
    iou = (ours & true).sum((1, 2)) / (ours | true).sum((1, 2))
    return {
        "l1_in_box": errors["l1_in_box"].mean().item(),
        "ssim_in_box": errors["ssim_in_box"].mean().item(),
        "outline_iou_percent": 100 * iou.mean().item(),
        "half_transparent_percent": half_transparent_percent(drawn[:, 3:], views.target_mask),
    }


def rounded(network: nn.Module, levels: int) -> int:
    """Round the tables that draw, in place; return their bytes, deflated."""
    drawing, size = tuple(name.removeprefix("encoder.") for name in LOOKS), 0
    with torch.no_grad():
        for name, table in network.named_parameters():
            if name.startswith(drawing) and table.ndim > 1 and table.numel() >= LARGE:
                small = in_levels(table, levels)
                size += len(zlib.compress(small["rows"].numpy().tobytes(), 9))
                table.copy_(restored(small))
    return size


def main(paths: dict[str, Path]) -> None:
    name, first = next(iter(paths.items()))
    views, rows = open_views(load_encoder_decoder(first).config.crop), []
    for what, path in paths.items():
        rows.append({"what": what} | measured(load_encoder_decoder(path).network, views))
        print(rows[-1])
    for levels in (127, 31, 15, 7, 5, 3):
        network = load_encoder_decoder(first).network
        size = rounded(network, levels)
        rows.append({"what": f"{name}, {levels} levels"} | measured(network, views) | {"bytes": size})
        print(rows[-1])
    of_masks = half_transparent_percent(views.target_mask, views.target_mask)
    save_result(RESULT, PROTOCOL, rows=rows, half_transparent_percent_of_true_masks=of_masks)
    with whole_file(RESULT.with_suffix(".md")) as partial:
        partial.write_text(as_table(rows, of_masks))


def as_table(rows: list[dict[str, Any]], of_masks: float) -> str:
    lines = ["| | L1 in the box | SSIM in the box | outline IoU % | half transparent % | bytes |",
             "|---|---|---|---|---|---|"]  # fmt: skip
    for row in rows:
        lines.append(f"| {row['what']} | {row['l1_in_box']:.4f} | {row['ssim_in_box']:.3f} | "
                     f"{row['outline_iou_percent']:.1f} | {row['half_transparent_percent']:.1f} | "
                     f"{row.get('bytes', '–')} |")  # fmt: skip
    about = f"{PROTOCOL[0].upper()}{PROTOCOL[1:]}. True masks: {of_masks:.1f} % half transparent."
    return "\n".join([*lines, "", about, ""])


if __name__ == "__main__":
    if len(sys.argv) < 2 or not all(word.count("=") == 1 for word in sys.argv[1:]):
        sys.exit('give names and checkpoints: "with a critic=runs/enc_dec/crisp/checkpoint_best.pt" ...')
    main({name: Path(path) for name, path in (word.split("=") for word in sys.argv[1:])})

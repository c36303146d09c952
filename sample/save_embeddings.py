"""Store the frozen latents of the training subjects, so that stage 2 need not run the encoder again.

    python sample/save_embeddings.py --checkpoint runs/enc_dec/demo/checkpoint_best.pt --copies 4

Reads   checkpoint_best.pt (sample/train_enc_dec.py), the index, the crops
Writes  embeddings.pkl beside the checkpoint
Next    sample/train_3d_pose_from_enc.py --mode embeddings --embeddings <that file>
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from config import Device, ImageAugmentation, Paths, ranged, setting
from dataset_def.h36m_crops import crops_of
from dataset_def.h36m_index import FrameChoice
from dataset_def.h36m_pose_data import PoseData
from models.encoder_decoder import EncoderDecoder, load_encoder_decoder
from utils.artifacts import Embeddings, file_hash, save_embeddings
from utils.batches import batch_loader, to_device
from utils.checkpoint_checks import check_predictions
from utils.engine import choose_device, mixed_seed
from utils.image import jitter_colours
from utils.settings import chosen_subjects, next_command, start


@dataclass(frozen=True)
@ranged()
class EmbeddingsConfig:
    """sample/save_embeddings.py: the frozen latents of the training subjects."""

    checkpoint: Path
    """checkpoint_best.pt of stage 1."""
    device: Device = "auto"
    paths: Paths = field(default_factory=Paths)
    subjects: tuple[int, ...] = (1, 5, 6, 7, 8)
    copies: int = setting(1, low=1)
    """Latents per image: the first of the plain image, the others of augmented ones."""
    augment: ImageAugmentation = field(default_factory=lambda: ImageAugmentation(colour=1.0, permute_channels=True))
    """How the images of the further copies are changed."""
    batch: int = setting(64, low=1)
    seed: int = 0

    def __post_init__(self) -> None:
        self.augment.refuse_more_than_colour_roll_and_shift("stored latents")


Rows = dict[str, list[np.ndarray]]


@torch.no_grad()
def encode_copy(copy: int, network: EncoderDecoder, data: PoseData, config: EmbeddingsConfig, rows: Rows) -> None:
    """Encode every image once and collect the rows; copy 0 is the plain image."""
    device = next(network.parameters()).device
    generator = torch.Generator(device).manual_seed(mixed_seed(config.seed, copy))
    items = [(copy, index) for index in range(len(data))]
    batches = [items[i : i + config.batch] for i in range(0, len(items), config.batch)]
    for cpu_sample in tqdm(batch_loader(data, batches, workers=0), desc=f"copy {copy}", disable=None):
        sample = to_device(cpu_sample, device)
        image = sample.image
        if copy:
            image = jitter_colours(image, config.augment.colour, config.augment.permute_channels, generator)
        points = network.encode_points(image)
        found = {"points": points, "appearance": network.encode_appearance(sample.image, points).float(),
                 "frames": sample.frames.int(), "R_crop_from_world": sample.R_crop_from_world}  # fmt: skip
        for name, values in found.items():
            rows.setdefault(name, []).append(values.cpu().numpy())


def main(config: EmbeddingsConfig) -> Path:
    """Encode all images of the subjects and write the file; return its path."""
    device = choose_device(config.device)
    stored = load_encoder_decoder(config.checkpoint)
    network = stored.network.to(device).eval()
    rows: Rows = {}
    for copy in range(config.copies):
        crops = crops_of(stored.config.crop, config.augment, config.seed, is_training=copy > 0)
        data = PoseData(config.paths, FrameChoice(config.subjects), crops)
        encode_copy(copy, network, data, config, rows)
    arrays = {name: np.concatenate(values) for name, values in rows.items()}
    check_predictions(config.checkpoint, points=arrays["points"], appearances=arrays["appearance"])
    path = config.checkpoint.parent / "embeddings.pkl"
    index = config.paths.index_location / "index.npz"
    save_embeddings(path, Embeddings(**arrays, encoder_hash=file_hash(config.checkpoint), index_hash=file_hash(index)))
    print(f"{len(arrays['frames'])} latents of {len(data)} images: {path}")
    print(next_command("sample/train_3d_pose_from_enc.py", config.paths, encoder=config.checkpoint, mode="embeddings",
                       embeddings=path, **chosen_subjects(stored.config.subjects)))  # fmt: skip
    return path


if __name__ == "__main__":
    start(main, EmbeddingsConfig)

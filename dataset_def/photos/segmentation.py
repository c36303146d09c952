"""The segmentation extra: a small network that tells which pixels of a picture are people."""

from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from config import ROOT

SEGMENTATION_NETWORK = ROOT / "data" / "downloads" / "selfie_segmentation.tflite"
MAY_BE_PERSON = 0.3
"""Probability above which a pixel does not count as empty scene."""
LOOKED_AT = 1.4
"""Side of the part that is looked at again, over that of the person."""
SEGMENTATION_REMEDY = "pip install -e .[video] and python dataset_def/photos/person.py"


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
            raise ValueError(
                f"the segmentation extra is not installed ({network}); install it with: {SEGMENTATION_REMEDY}"
            )
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

    def closely(self, rgb: UInt8[np.ndarray, "H W 3"]) -> Float[np.ndarray, "H W"]:
        """Tell for every pixel how likely it is a person, looking again at the surroundings of the largest one."""
        height, width = rgb.shape[:2]
        far = cv2.resize(self._probabilities(rgb), (width, height))
        count, _, stats, _ = cv2.connectedComponentsWithStats((far > MAY_BE_PERSON).astype(np.uint8))
        if count < 2:
            return far
        left, top, across, down, _ = stats[1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())].tolist()
        half = round(LOOKED_AT * max(across, down) / 2)
        x, y = left + across // 2, top + down // 2
        rows, columns = slice(max(0, y - half), y + half), slice(max(0, x - half), x + half)
        part = rgb[rows, columns]
        near = cv2.resize(self._probabilities(part), part.shape[1::-1])
        far[rows, columns] = np.sqrt(far[rows, columns] * near)
        return far

    def mask(self, rgb: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "H W"]:
        """Give the largest person: 255 inside, 0 elsewhere."""
        found = (self._probabilities(rgb) > 0.5).astype(np.uint8)
        count, labels, stats, _ = cv2.connectedComponentsWithStats(found)
        largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax()) if count > 1 else -1
        person = (labels == largest).astype(np.uint8) * np.uint8(255)
        return cv2.resize(person, (rgb.shape[1], rgb.shape[0]), interpolation=cv2.INTER_LINEAR)

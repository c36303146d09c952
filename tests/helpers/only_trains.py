"""A process on a machine that only trains: packages that make, test and draw data cannot be imported there.

python -m tests.helpers.only_trains SCRIPT ARGUMENTS...
"""

import runpy
import sys

HIDDEN = ("cv2", "scipy", "numba", "matplotlib", "trimesh", "tensorboard", "yaml", "h5py", "cdflib", "skimage", "anny")

if __name__ == "__main__":
    sys.modules.update(dict.fromkeys(HIDDEN))  # None there is how Python notes that a module cannot be found
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")

"""Predicted bodies as files of other programs: glTF, BVH, OBJ, PLY, named joints as JSON, parameters as .npz."""

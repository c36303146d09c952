"""Cameras as the files of other programs hold them: one reader and writer per format."""

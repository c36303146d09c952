"""The official Human3.6M download: one reader per format, and one folder of this project's layout at a time."""

"""The embedded data set: a synthetic Human3.6M that needs no download."""

"""Geometry, metrics, files, drawing and the engine.  Knows no stage."""

"""One page per run: what a run's folder holds (files, measures, frames, curves, solids) and how it is shown (page)."""

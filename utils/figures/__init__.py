"""Figures of runs, bodies, benchmarks and of the method itself."""

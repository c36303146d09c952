"""Readers of recorded and generated poses for the prior, one per source."""

"""Readers of recorded and invented poses for the prior, one per source."""

"""Builds the body file that comes with the project."""

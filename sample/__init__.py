"""One script per step of the method."""

"""The checks of check_data.py, one kind of data per file."""

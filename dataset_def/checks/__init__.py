"""What check_data.py looks at, one kind of data per file."""

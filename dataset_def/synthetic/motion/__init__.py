"""How the people of the embedded data move."""

"""A user's own pictures, and the person in them."""

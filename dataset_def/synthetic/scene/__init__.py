"""What the cameras of the embedded data see: people, clothes, rooms, light."""

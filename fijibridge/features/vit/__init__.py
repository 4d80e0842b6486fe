"""Vision-transformer tokens."""

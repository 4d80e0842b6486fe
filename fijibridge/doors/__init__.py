"""The doors to the catalogue of operations."""

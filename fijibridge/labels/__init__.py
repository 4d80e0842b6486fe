"""Sparse labels: label images, ImageJ ROIs as ImageJ rasterises them, regions."""

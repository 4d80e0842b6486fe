"""TWS's 3D filters, a family a file; see :mod:`fijibridge.features.tws3d.filter`.

Every step is done in the precision that TWS's libraries use for it (imglib2's ``Gauss3``: float32 from the left to the
right; ImageScience: sums in float64, float32 between two axes; ImageJ's ``Filters3D``: sums in float64, squares in
float32). Inner loops run along x, with one term of the sum at a time, so that a voxel's sum does not depend on where
the block begins.
"""

"""TWS's filters, one kind of features a file; see :mod:`fijibridge.features.tws.filter`.

Every step is done in the precision that ImageJ 1.54 uses for it (`GaussianBlur`: float32; `Convolver`: products in
float32, sums in float64; `ZProjector`: mean and deviation in float64) and in the same order of summation: a forest that
TWS trained splits on exact values. That is why the kernels are spelled out instead of calls to `scipy.ndimage`.

Inner loops run along x, with one term of the sum at a time: the sum at each pixel keeps its order, and the compiler can
still use SIMD without leave to reorder floating point (which would change the last bits with the block's size).
"""

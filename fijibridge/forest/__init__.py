"""One random forest, many owners: flat arrays with a compiled kernel, scikit-learn and Weka on either side.

Names load on first use, so that ``import fijibridge.forest`` loads neither scikit-learn, numba nor a JVM.
"""

from fijibridge.core.lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)

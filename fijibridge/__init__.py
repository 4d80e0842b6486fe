"""fijibridge: vision-transformer features and random forests shared by Fiji, Weka and Python.

Public names load on first use, so that ``import fijibridge`` loads neither torch nor a JVM.
"""

from fijibridge.core.lazy import attach_stub

__version__ = "0.2.0.dev0"

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
__all__ += ["__version__"]

"""Image -> features: sources (TWS's filters, ViT tokens, a network), side by side in a stack, and a linear head.

Names load on first use: settings alone need neither numpy nor torch.
"""

from fijibridge.core.lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)

"""TWS's own filters."""

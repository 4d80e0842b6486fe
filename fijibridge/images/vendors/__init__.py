"""One file for each vendor's metadata: pixel size and data bar as its software writes them."""

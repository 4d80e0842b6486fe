"""Named pre-trained weights: where from, SHA-256, licence, cache, offline."""

"""Early layers of a convolutional network."""

"""A linear model that turns the ViT's channels into one a class."""

"""Methods of removing the ViT's positional bias: a file and a line in `base.DEBIASING` each."""

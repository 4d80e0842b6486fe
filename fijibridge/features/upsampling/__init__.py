"""From the patch grid to pixels."""

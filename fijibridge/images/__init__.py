"""Images in and out: files, volumes, metadata of microscopes, data bar, detectors, overlay, palette."""

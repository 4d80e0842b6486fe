"""A segmented volume as files of modellers' tools. A new format is a file here and a row of `catalogue.EXPORTS`."""

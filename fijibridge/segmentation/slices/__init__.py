"""Images and stacks segmented slice by slice: in units that can be done anywhere, in any order, and again."""

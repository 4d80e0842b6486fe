"""3D label volumes made from 2D segmented micrographs."""

"""Front ends to the catalogue of operations: command line, service, ImageJ."""

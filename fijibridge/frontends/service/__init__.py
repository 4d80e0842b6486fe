"""The service that macros call on the loopback address, and its client."""

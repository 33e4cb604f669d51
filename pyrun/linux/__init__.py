"""Kernel mechanisms, one module each; none of them knows what a container is."""

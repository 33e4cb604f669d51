"""A client of the OCI distribution specification 1.1, with Docker's and podman's credentials.

It must not know of the store or of unpacking: it gives verified documents and raw blob bytes.
"""

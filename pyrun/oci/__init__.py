"""OCI data: references, digests, descriptors, manifests, indexes, configs.

Pure data: it must not know of the network, the store or the kernel. Read image-spec 1.1.
"""

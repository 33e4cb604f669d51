"""The lower half: runs a bundle (config.json, rootfs.json). It knows no image, no registry and no store."""

"""Volumes and mounts: what ``-v``, ``--mount``, ``--tmpfs`` and ``--ulimit`` mean, and where volumes are kept.

It must not know how anything is mounted: that is the bundle's affair. Read ARCHITECTURE.md.
"""

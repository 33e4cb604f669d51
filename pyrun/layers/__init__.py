"""Unpacked layers: how they get on disk, how they are looked at, and what overlay is given of them.

Nothing outside this package may take a layer's directory for its content: ask `lowerdir` or `view`.
"""

"""A container's network: published ports, the user-mode uplink, the three files that name hosts.

It must not know images or the store, and it starts nothing itself: the monitor does. Read ARCHITECTURE.md.
"""

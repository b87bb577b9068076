"""Models the engine can run: one file each, behind the protocol in ``protocol.py``."""

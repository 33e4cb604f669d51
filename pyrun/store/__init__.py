"""What is on disk: one module per kind of file; `layout.py` lists them all."""

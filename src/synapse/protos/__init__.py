"""Code made from `protos/`; `scripts/protos.py` writes it."""

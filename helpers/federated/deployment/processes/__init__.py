"""The operating-system processes of a deployment, one module each: ``python -m ...``."""

"""Ownership: mark a model, find the mark again in a stolen copy, and say how sure that is.

``helpers.watermark.suspect`` is what the court has in hand: a model to ask, perhaps to open.
"""

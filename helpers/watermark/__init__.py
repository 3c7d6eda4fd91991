"""Ownership: mark a model, find the mark again in a stolen copy, and say how sure that is.

``helpers.watermark.suspect`` is what the court has in hand: a model to ask, perhaps to open.
``helpers.watermark.key`` is the owner's secret, from which every scheme draws what it needs:
``uchida`` marks the weights, ``triggers`` and ``answers`` mark what a model says, ``fingerprint``
marks nothing and looks for likeness. ``null``, ``commitment`` and ``verdict`` turn what is found
into a claim. The attacks are in ``preserving``, ``removal``, ``extraction`` and ``ambiguity``, and
``survival`` tries them all.
"""

"""Robustness: fool a model with small changes, on the file that ships, and say what that proves.

``helpers.robustness.target`` is what the attacker has in hand: a file to ask, a model with
gradients that stands for it. ``gradients``, ``transfer``, ``queries``, ``universal``, ``patch`` and
``library`` attack it, ``curves`` sums up, ``masking`` says when a number cannot be trusted, and
``training`` makes a model that withstands more.
"""

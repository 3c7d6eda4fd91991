"""Robustness: how far a model can be trusted when somebody, or the weather, is against it.

``helpers.robustness.target`` is what the attacker has in hand: a file to ask, a model with
gradients that stands for it. ``gradients``, ``transfer``, ``queries``, ``universal``, ``patch`` and
``library`` attack it, ``curves`` sums up, ``masking`` says when a number cannot be trusted, and
``training`` makes a model that withstands more.

``helpers.robustness.perturbations`` spoils pictures as optics, weather and dirt do, and
``helpers.robustness.detection`` trains, runs and scores an object detector on them.

``helpers.robustness.certification`` gives a radius within which no change of an input can change
the answer, and a certificate that somebody else can check.
"""

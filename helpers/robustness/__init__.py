"""Robustness: how far a model can be trusted when somebody, or the weather, is against it.

``helpers.robustness.target`` is what the attacker has in hand: a file to ask, a model with
gradients that stands for it. ``gradients``, ``transfer``, ``queries``, ``simba``, ``universal``,
``patch`` and ``library`` attack it, ``curves`` sums up, ``masking`` says when a number cannot be
trusted, ``assessment`` makes a report of it all, and ``training`` a model that withstands more.
``transformations``, ``screening`` and ``ensembles`` are defences without training, each with the
attacker who knows of it. ``frequency`` and ``paired`` are for investigating a failure, ``frontier``
for choosing a design.

``helpers.robustness.certification`` proves what attacks can only fail to refute.

``helpers.robustness.perturbations`` spoils pictures as optics, weather and dirt do, and
``helpers.robustness.detection`` trains, runs and scores an object detector on them.

``helpers.robustness.certification`` gives a radius within which no change of an input can change
the answer, and a certificate that somebody else can check.
"""

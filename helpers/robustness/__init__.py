"""Robustness: how far a model can be trusted when somebody, or the weather, is against it.

``helpers.robustness.perturbations`` spoils pictures as optics, weather and dirt do, and
``helpers.robustness.detection`` trains, runs and scores an object detector on them.
"""

"""Certified robustness: a radius within which no change of the input can change the answer.

``radius`` turns counts of votes into a radius, ``smoothing`` takes the votes, ``noise`` draws what
is added to an input, and ``log`` lets a long run go on after a kill. ``outcome`` sums up, ``light``
translates lamps and cameras into radii, and ``training`` makes a model that votes clearly.
``attack`` tries to break what was certified.

``certificate`` writes what was found as a file, ``verifier``, which imports nothing of this
package, recomputes it, and ``spot_check`` draws anew.

``lipschitz`` and ``intervals`` certify without votes: by a bound of the slope, and by bounds of
every layer, for which ``interval_training`` trains.
"""

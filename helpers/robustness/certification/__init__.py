"""Certified robustness: a radius within which no change of the input can change the answer.

``radius`` turns counts of votes into a radius, ``smoothing`` takes the votes, ``noise`` draws what
is added to an input, and ``log`` lets a long run go on after a kill. ``outcome`` sums up.
``certificate`` writes what was found as a file, and ``verifier``, which imports nothing of this
package, recomputes it.
"""

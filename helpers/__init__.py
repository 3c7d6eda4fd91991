"""Tools behind *Securing machine learning at the edge*: one room a subject of the course.

Importing this package loads nothing heavy: TensorFlow and friends load inside the modules
that use them.
"""

__version__ = "0.1.0"

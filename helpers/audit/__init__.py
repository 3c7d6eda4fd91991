"""The labs' measurements on a model of one's own, which may come from anyone.

:mod:`helpers.audit.model` opens a model file in a sandbox; what the rest of the audit learns about
the file, it learns through that.
"""

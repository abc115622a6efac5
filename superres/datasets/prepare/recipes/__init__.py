"""One file per source that can be prepared; its docstring's first line is its help.

A recipe has ``plan(source, options) -> list[SetPlan]``. Files that begin with an underscore are
shared parts.
"""

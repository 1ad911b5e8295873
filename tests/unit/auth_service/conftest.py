"""Hypothesis without its deadline: the tests share a machine with others, and each has a limit of its own."""

from hypothesis import settings

settings.register_profile("shared-machine", deadline=None)
settings.load_profile("shared-machine")

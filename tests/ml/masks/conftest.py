"""The first call of a compiled function takes seconds where its cache is empty: no deadlines."""

from hypothesis import settings

settings.register_profile("compiled", deadline=None)
settings.load_profile("compiled")

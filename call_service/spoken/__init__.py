"""What people say on the phone, understood without a model: yes and no, numbers, days, times, names.

Pure functions over recognised speech: no casing, no punctuation and small recognition errors are expected.
"""

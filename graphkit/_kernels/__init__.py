"""Compiled loops over plain NumPy arrays; nothing here knows of tensors, gradients or graphs.

Every kernel takes a half-open row range as its first two arguments and writes only to those rows, so that
``threads.over_rows`` may hand ranges to several threads without locks.
"""

"""What is raised when a data set's files are missing, wrong or half-written."""

from __future__ import annotations


class DataError(ValueError):
    """A data set cannot be had as its card describes it; the message names the file and the way out."""

"""Prediction of links: what training sees of a split of edges."""

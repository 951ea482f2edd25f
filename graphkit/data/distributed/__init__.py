"""Distributed graphs: one graph in parts, each held by one process of a job."""

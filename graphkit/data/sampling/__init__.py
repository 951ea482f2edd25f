"""Sampling: the batches that are drawn from one large graph, by neighbours, by clusters or by class."""

"""graphkit: graph learning on PyTorch Geometric, correct first and fast second.

The map, from the ground floor up; a folder imports only what lies below it.

``_kernels``   compiled loops over plain arrays: sparse product, attention, maximum, sorting
``_checks``    the one place where arguments are refused
``_lazy``      names that are imported when they are asked for
``operators``  sparse operators, Laplacians, Fourier bases, wavelets, polynomials, coarsening: functions, no modules
``metric``     metric learning on embeddings and labels: distances, losses, retrieval, anomalies; never a graph
``data``       the registry of data sets, their cards, where files come from, splits, samplers
``nn``         ``spatial`` and ``spectral`` convolutions, ``pool`` and the encoder that stacks them
``contrastive``  pre-training without labels: views of a graph and what they are to agree on
``meta``       few-shot learning: tasks, learners that adapt, their rivals
``training``   recipes, the loop, embeddings, checkpoints, result records
``viz``        pictures
``cli``        the command line

Importing ``graphkit`` imports none of these: ask for the room you need,
for example ``from graphkit.nn import GCNConv``.
"""

__version__ = "0.1.0"

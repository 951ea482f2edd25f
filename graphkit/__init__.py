"""graphkit: graph learning on PyTorch Geometric, correct first and fast second.

The map, from the ground floor up; a folder imports only what lies below it.

``_kernels``   compiled loops over plain arrays: sparse product, attention, maximum, sorting
``_checks``    the one place where arguments are refused
``operators``  sparse operators, Laplacians, normalisations, polynomial terms: functions, no modules
``data``       the registry of data sets, their cards, where files come from, splits
``nn``         ``spatial`` and ``spectral`` convolutions and the encoder that stacks them
``training``   recipes, the loop, checkpoints, result records
``viz``        pictures
``cli``        the command line

Importing ``graphkit`` imports none of these: ask for the room you need,
for example ``from graphkit.nn import GCNConv``.
"""

__version__ = "0.1.0"

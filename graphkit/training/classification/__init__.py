"""Classification of nodes, of signals on a graph and of graphs: tasks, the trainer, seeds and nested folds."""

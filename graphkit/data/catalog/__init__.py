"""The catalogue: the card of each data set, where its files lie, how they are read and checked, and loading by name."""

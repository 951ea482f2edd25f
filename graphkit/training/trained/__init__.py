"""Trained models: their files, runs that explain themselves, predictions, evaluation and comparison."""

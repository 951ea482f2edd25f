"""Forecasts of signals over time as items of the engine: a moment is an item, and what comes after it its label."""

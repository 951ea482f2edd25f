"""Forecasts of signals over time: rivals for which nothing is learnt, and linear models."""

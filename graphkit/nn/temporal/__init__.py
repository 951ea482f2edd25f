"""Signals on a graph over time: layers, rules, linear models and networks that forecast."""

from graphkit.nn.temporal.abstract_forecaster import AbstractForecaster
from graphkit.nn.temporal.adaptive import AdaptiveAdjacency
from graphkit.nn.temporal.convolution import GatedTemporalConv, STConvBlock
from graphkit.nn.temporal.diffusion import DiffusionConv
from graphkit.nn.temporal.lag_ridge import LagRidge
from graphkit.nn.temporal.networks import (
    AbstractForecastNetwork,
    ConvolutionalForecaster,
    LagNetwork,
    RecurrentForecaster,
)
from graphkit.nn.temporal.recurrent import GraphGRU
from graphkit.nn.temporal.rules import LastPeriod, LastValue, WindowMean

__all__ = [
    "AbstractForecastNetwork",
    "AbstractForecaster",
    "AdaptiveAdjacency",
    "ConvolutionalForecaster",
    "DiffusionConv",
    "GatedTemporalConv",
    "GraphGRU",
    "LagNetwork",
    "LagRidge",
    "LastPeriod",
    "LastValue",
    "RecurrentForecaster",
    "STConvBlock",
    "WindowMean",
]

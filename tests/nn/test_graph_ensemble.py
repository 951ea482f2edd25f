"""Ensembles of a network and what is solved for: means of what both say, and the network alone to train."""

from __future__ import annotations

import pytest
import torch

from graphkit.nn import GCNConv, GraphClassifier
from graphkit.nn.estimators import Forest, GaussianProcess
from graphkit.nn.graph_ensemble import GraphEnsemble
from graphkit.nn.graph_features import ColourCounts, GraphFeatureModel
from graphkit.training import recipe, train
from graphkit.training.engine.interrupts import Interrupted
from graphkit.training.engine.reporters import Silence
from tests.nn.test_graph_features import batch
from tests.training.studies import rings_and_stars


def parts(kind, estimator=Forest):
    """Return a network and what is fitted, of three outputs, and graphs."""
    given, drawn = batch(), torch.Generator().manual_seed(0)
    y = {
        "classes": torch.randint(0, 3, (12,), generator=drawn),
        "binary": torch.randint(0, 2, (12, 3), generator=drawn).float(),
        "numbers": torch.randn(12, 3, generator=drawn),
    }[kind]
    other = GraphFeatureModel(ColourCounts(rounds=1, columns=16), estimator(3))
    other.solve(1, lambda: other.rows(given), y, kind)
    return GraphClassifier(2, 4, 3, conv=lambda i, o: GCNConv(i, o), layers=2).eval(), other, given


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("kind", ["classes", "binary", "numbers"])
@pytest.mark.parametrize("estimator", [Forest, GaussianProcess])
def test_what_both_say_is_averaged(kind, share, estimator):
    network, other, given = parts(kind, estimator)
    says = {"classes": lambda x: x.softmax(1), "binary": torch.sigmoid, "numbers": lambda x: x}[kind]
    found = says(GraphEnsemble(network, other, share=share).eval()(given))
    torch.testing.assert_close(found, (1 - share) * says(network(given)) + share * says(other(given)))


def test_while_it_is_trained_it_is_the_network():
    network, other, given = parts("classes")
    ensemble = GraphEnsemble(network, other).train()
    network.eval()
    torch.testing.assert_close(ensemble(given), network(given))
    assert {name.partition(".")[0] for name, _ in ensemble.named_parameters()} == {"network"}
    assert ensemble.first is network.first


def test_a_share_beyond_all_is_refused():
    network, other, _ = parts("classes")
    with pytest.raises(ValueError, match="`share`"):
        GraphEnsemble(network, other, share=1.5)


def test_a_run_keeps_both():
    chosen = recipe("gin-forest", {"epochs": 1, "hidden": 4, "layers": 1}, items="graphs")
    kept = train(rings_and_stars(), chosen, device="cpu").models[0].weights
    assert kept["other.estimator.roots"].numel() == 300
    assert any(name.startswith("network.") for name in kept)


class Stop(Silence):
    """Ends a run in the second epoch of its second seed."""

    def on_epoch(self, unit, epoch, best):
        if (unit.seed, epoch.number) == (1, 2):
            raise KeyboardInterrupt


def test_an_ensemble_goes_on_where_it_was_stopped_to_the_same_bits(tmp_path):
    chosen = recipe("gin-forest", {"epochs": 3, "hidden": 4, "layers": 1, "batch": 8}, items="graphs")
    whole = train(rings_and_stars(), chosen, seeds=[0, 1], device="cpu")
    with pytest.raises(Interrupted):
        train(rings_and_stars(), chosen, seeds=[0, 1], device="cpu", run_dir=tmp_path / "r", reporter=Stop())
    again = train(rings_and_stars(), chosen, seeds=[0, 1], device="cpu", run_dir=tmp_path / "r", resume=True)
    assert [each.history for each in again.seeds] == [each.history for each in whole.seeds]
    assert again.models[1].to_bytes() == whole.models[1].to_bytes()

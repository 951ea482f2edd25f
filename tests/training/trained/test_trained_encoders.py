"""Trained encoders embed again what they were trained on, and what they never saw; the gallery grows."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch_geometric.data import Data

import graphkit
from graphkit.data import store
from graphkit.training.embedding import embed, embedding_recipe
from graphkit.training.embedding.embedding_recipes import EMBEDDINGS
from graphkit.training.embedding.embedding_setup import node_setting
from graphkit.training.embedding.graph_embedding import graph_setting
from graphkit.training.embedding.saved import SavedEmbeddings, latest
from graphkit.training.trained.encoder import TrainedEncoder
from graphkit.training.trained.model_file import ModelFile
from tests.training.studies import communities, rings_and_stars
from tests.training.trained.descriptions import unrefused

CPU = torch.device("cpu")
CASES = [(name, "node") for name in EMBEDDINGS]
CASES += [(name, "graph") for name, each in EMBEDDINGS.items() if each.objective.labelled and not each.objective.solved]


def trained(name, level, folder=None, seeds=(0,)):
    """Embed with a loss, as small as it can be."""
    chosen = embedding_recipe(name, level=level)
    small = {"epochs": 1, "dim": 4, "hidden": 4, "order": 2, "steps": 1}
    chosen = chosen.merge_fields({field: value for field, value in small.items() if field in chosen.options()})
    data = communities() if level == "node" else rings_and_stars()
    return embed(data, chosen, seeds=seeds, probes=False, device="cpu", run_dir=folder), data


@pytest.mark.parametrize(("name", "level"), CASES)
def test_an_encoder_embeds_what_it_was_trained_on_to_the_recorded_figure(name, level):
    outcome, data = trained(name, level)
    model = TrainedEncoder.from_file(_file(outcome.models[0]))
    z = model.embed(data, device="cpu")
    assert torch.equal(z, outcome.embeddings[0])
    setting = (node_setting if level == "node" else graph_setting)(data, model.recipe, CPU, torch.float32)
    figures = setting.evaluator.figures(z, probes=False)
    assert figures["map@r (test)"] == outcome.record.record.metric.values[0] == model.figures["test"]
    # Items that training did not see, without labels.
    new = Data(x=data.x[:20], edge_index=data.edge_index[:, (data.edge_index < 20).all(0)]) if level == "node" else None
    found = model.predict(data[3:7] if new is None else new, device="cpu")
    assert list(found.frame().columns) == ["id", *(f"z{place}" for place in range(z.size(1)))]
    assert bool(found.values.isfinite().all())


def _file(model):
    from graphkit.training.trained.model_file import ModelFile

    return ModelFile.from_bytes(model.to_bytes(), Path("seed-0.safetensors"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("embedded")
    trained("supcon", "node", folder, seeds=(0, 1))
    return folder


def test_a_run_of_embeddings_is_loaded_by_its_folder(folder):
    run = graphkit.load_run(folder)
    assert run.record.record.metric.values == tuple(model.figures["test"] for model in run.models.values())
    assert torch.equal(run.model.embed(communities(), device="cpu"), run.gallery().z)
    with pytest.raises(ValueError, match="`seed` must be one that was trained, 0, 1, got 5"):
        run.predict(communities(), seed=5)


def test_items_are_added_to_the_gallery_and_asked_for(folder, tmp_path):
    import shutil

    shutil.copytree(folder, tmp_path / "run")
    run, new = graphkit.load_run(tmp_path / "run"), communities(30)
    z = run.models[0].embed(new, device="cpu")
    nearest = torch.nn.functional.normalize(run.gallery(seed=0).z, dim=1) @ torch.nn.functional.normalize(z[4], dim=0)
    found = run.search(4, count=3, data=new, seed=0, device="cpu")
    assert [each.item for each in found] == nearest.argsort(descending=True)[:3].tolist()
    added = run.add(new, "new", seed=0, device="cpu")
    assert added.z.shape == (90, z.size(1))
    assert added.place(63) == "new 3"
    assert added.y[60:].tolist() == new.y.tolist()
    assert 64 in [each.item for each in run.search(4, count=2, data=new, seed=0, device="cpu")]
    del new.y
    assert run.add(new, "newer", seed=0, device="cpu").y[90:].tolist() == [-1] * 30
    with pytest.raises(ValueError, match="`name` 'new' is in the gallery already: unnamed, new, newer"):
        run.add(new, "new", seed=0)
    assert SavedEmbeddings.read(latest(tmp_path / "run")).z.shape == (120, z.size(1))
    # What another encoder embedded is no answer.
    (tmp_path / "run/seed-0.safetensors").write_bytes((folder / "seed-1.safetensors").read_bytes())
    with pytest.raises(ValueError, match="holds items that another encoder embedded"):
        latest(tmp_path / "run")


def test_search_takes_new_items_from_the_command_line(call, folder):
    import shutil

    shutil.copytree(folder, "run")
    new = communities(30)
    new.node_names = [f"person {place}" for place in range(30)]
    store(new, "new")
    code, out, err = call("search", "run", "--of", "./new", "--query", "person 7", "--count", "4")
    assert code == 0, err
    assert err.startswith("./new, supcon: node person 7")
    assert len(out.splitlines()) == 5
    code, _, err = call("search", "run", "--add", "./new")
    assert (code, "90 items in the gallery of run" in err) == (0, True), err
    code, out, err = call("search", "run", "--query", "63", "--count", "2")
    assert (code, "graph" in out) == (0, True), err
    code, out, err = call("predict", "run", "./new")
    assert (code, out.splitlines()[0][:12]) == (0, "id,z0,z1,z2,"), err
    for arguments, message in (
        (("search", "run"), "`--query` names the item that asks"),
        (("search", "run", "--query", "x"), "`--query` must be the number of an item"),
        (("search", "run", "--of", "./new", "--query", "nobody"), "`--query` must be an item of './new'"),
        (("evaluate", "run", "--calibrate"), "is measured by retrieval"),
    ):
        code, _, err = call(*arguments)
        assert (code, message in err, len(err.splitlines())) == (2, True, 1), err


def test_no_field_of_a_description_ends_a_reader_in_words_that_are_not_ours(folder):
    file = ModelFile.read(folder / "seed-0.safetensors")
    assert unrefused(file, TrainedEncoder.from_file) == []


def test_encoders_of_graphs_and_of_other_data_are_evaluated(tmp_path):
    graphs = rings_and_stars()
    chosen = embedding_recipe("prototype", {"epochs": 1, "dim": 4}, level="graph")
    outcome = embed(graphs, chosen, device="cpu", probes=False, run_dir=tmp_path)
    run = graphkit.load_run(tmp_path)
    found = run.evaluate(graphs, device="cpu")
    recorded = {name: each.values for name, each in outcome.record.figures[chosen.name].items()}
    assert (found.part, found.values) == ("test", recorded)
    others = run.evaluate(rings_and_stars()[:10], device="cpu")
    assert (others.part, others.items) == ("all", 10)
    assert "map@r (test)" in others.values
    with pytest.raises(ValueError, match=r"^`part` 'val' is not known"):
        run.evaluate(graphs, part="val")


def test_figures_of_other_options_than_the_run_was_measured_with_are_refused(tmp_path):
    data = communities()
    chosen = embedding_recipe("prototype", {"epochs": 1, "dim": 4})
    embed(data, chosen, device="cpu", probes=False, without_neighbours=True, run_dir=tmp_path)
    run = graphkit.load_run(tmp_path)
    with pytest.raises(ValueError, match="were measured with one-hop neighbours left out"):
        run.evaluate(data, device="cpu")
    assert run.evaluate(data, device="cpu", without_neighbours=True).values["map@r (test)"] == run.about.metric.values

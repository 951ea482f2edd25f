"""Every script in ``examples/`` runs on a small input and says what it promises."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import statistics
import sys
from pathlib import Path
from unittest.mock import MagicMock

import pytest
import torch

from graphkit.data import load
from graphkit.meta import FewShotProtocol, TaskSet
from graphkit.operators.polynomials import BASES

EXAMPLES = Path(__file__).parent.parent / "examples"
SMALL = {
    "similarity_in_context": ["--steps", "100"],
    "similarity_by_anchor": ["--steps", "5"],
    "metric_on_neighbourhoods": ["--steps", "5"],
    "metric_on_several_graphs": ["--steps", "3"],
    "metric_losses": ["--loss", "quadruplet", "--epochs", "3"],
    "train_cora": ["--dataset", "karate", "--epochs", "3", "--seeds", "2"],
    "pyg_sequential": ["--dataset", "karate", "--epochs", "2"],
    "heterogeneous": ["--papers", "60", "--epochs", "2"],
    "wavelets_on_a_graph": ["--side", "9"],
    "transfer_a_filter": ["--sizes", "40", "60", "--epochs", "100"],
    "own_data": ["--epochs", "3"],
    "links_in_your_loop": ["--users", "120", "--epochs", "2"],
    "log_to_mlflow": ["--dataset", "karate", "--epochs", "3"],
    "networkx_graph": ["--epochs", "3", "--seeds", "2"],
}
BENCHMARKS = sorted(path for path in (EXAMPLES / "benchmarks").glob("[!_]*.py"))
RECORD = ("command", "dataset", "protocol", "metric", "selection", "config", "seeds", "seconds", "environment")


def run(path: Path, *arguments: str) -> None:
    """Load a script and call its ``main``, in this process, where a warning is an error."""
    spec = importlib.util.spec_from_file_location(f"example_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert not module.main(arguments)


@pytest.fixture
def benchmark_folder(monkeypatch):
    """Let a benchmark import what stands beside it, as it does when it is run as a script."""
    monkeypatch.syspath_prepend(str(EXAMPLES / "benchmarks"))


def test_every_example_is_run_by_these_tests():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(SMALL)


@pytest.mark.parametrize("name", SMALL)
def test_an_example_runs_and_reports_accuracy_or_agreement(name, capsys, monkeypatch):
    mlflow = MagicMock()
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)  # it is no dependency of ours
    run(EXAMPLES / f"{name}.py", *SMALL[name])
    said = capsys.readouterr().out
    assert "accuracy" in said or "agreement" in said
    logged = [call.args for call in mlflow.log_metrics.call_args_list]
    assert {step for _, step in logged} >= ({1, 2, 3} if name == "log_to_mlflow" else set())
    assert any("seed-2/test_accuracy" in metrics for metrics, _ in logged) == (name == "log_to_mlflow")


def test_weights_move_from_pyg_to_graphkit_without_a_difference(capsys):
    run(EXAMPLES / "pyg_sequential.py", "--dataset", "digits", "--epochs", "3")
    difference = float(capsys.readouterr().out.split()[-1])
    assert difference < 1e-5  # float32, sums in another order


@pytest.mark.parametrize("opposites", [[], ["--opposites"]])
def test_a_filter_is_the_same_and_as_useful_on_a_graph_it_has_not_seen(opposites, tmp_path, capsys):
    picture = tmp_path / "response.png"
    run(EXAMPLES / "transfer_a_filter.py", "--sizes", "60", "90", *opposites, "--picture", str(picture))
    here, there, _, learnt, loaded = capsys.readouterr().out.splitlines()
    for line in (here, there):
        _, accuracy, alone, off = re.findall(r"\d[\d.,]*(?:e-\d+)?", line)
        assert float(accuracy) > float(alone) + 10
        assert float(off) < 1e-3  # float32, relative
    assert learnt.split()[3:] == loaded.split()[3:]
    assert picture.stat().st_size


def test_unseen_anchors_tell_people_by_their_own_attribute_and_hide_the_other(capsys):
    run(EXAMPLES / "similarity_by_anchor.py")
    (before, _), (on, off) = (
        [float(figure) for figure in re.findall(r"(\d+)%", line)] for line in capsys.readouterr().out.splitlines()
    )
    assert on > before + 10
    assert on > off + 25  # by chance the other attribute has about 50


def test_batches_of_classes_with_sampled_neighbours_are_learnt_from(capsys):
    run(EXAMPLES / "metric_on_neighbourhoods.py", "--steps", "60")
    before, after = (float(figure) for figure in re.findall(r"([\d.]+)%", capsys.readouterr().out))
    assert after > before + 20


def test_both_ways_to_train_on_cora_come_near_the_published_accuracy(mirror, capsys):
    run(EXAMPLES / "train_cora.py", "--seeds", "1")
    recipe, own_loop = capsys.readouterr().out.splitlines()[1:]
    assert float(recipe.split("accuracy ")[1].split()[0]) > 78  # 81.5 less three deviations over seeds, of 1.1
    assert float(own_loop.split("accuracy ")[1].split("%")[0]) > 78


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.stem)
def test_the_first_line_of_a_benchmark_is_the_question_it_answers(path):
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))).splitlines()[0].endswith("?")


@pytest.mark.usefixtures("benchmark_folder")
class TestBenchmarks:
    def test_an_epoch_is_compared_on_equal_terms_and_kept_in_a_record(self, tmp_path, capsys):
        kept = tmp_path / "record.json"
        options = ["--quick", "--no-memory", "--dataset", "digits", "--json", str(kept)]
        run(EXAMPLES / "benchmarks" / "gcn_epoch.py", *options)
        record = json.loads(kept.read_text())
        assert set(RECORD) <= set(record)
        assert [row["side"] for row in record["rows"]][-1] == "PyG's script"
        fair = ["import changed alone", "sparse features on both sides"]
        assert [one["what"] for one in record["apart"]][:2] == fair
        assert all(len(one["cpu_ratios"]) == 2 for one in record["apart"])
        assert len(record["metric"]["values"]) == record["protocol"]["rounds"] == 2
        assert record["dataset"]["name"] == "digits"
        said = capsys.readouterr().out
        assert "graphkit.training" in said
        assert "PyG's layers, CSR features" in said

    def test_sides_of_an_epoch_that_are_said_to_do_the_same_do_the_same(self):
        importlib.import_module("_measure").without_beta_warnings()
        sides = importlib.import_module("gcn_epoch")
        data, losses = load("digits"), {}
        data.x = data.x * (data.x > 0.5)
        for side in ("published", "cached", "import", "script", "sparse"):
            torch.manual_seed(0)
            script = sides.epoch_of(side, data).__self__
            script.dropped = torch.nn.Identity()  # what is drawn depends on how many values are stored
            losses[side] = [script.step() for _ in range(3)]
        assert all(found == pytest.approx(losses["published"], rel=1e-5) for found in losses.values())  # float32

    def test_half_of_the_stored_values_are_dropped_on_the_side_of_csr_features(self):
        importlib.import_module("_measure").without_beta_warnings()
        drop = importlib.import_module("gcn_epoch").Dropout()
        stored = torch.ones(40, 50).to_sparse_csr()
        left = drop(stored).to_dense()
        assert set(left.unique().tolist()) == {0.0, 2.0}
        assert 800 < int((left == 0).sum()) < 1200
        assert drop.eval()(stored).to_dense().eq(1).all()

    def test_scripts_differ_in_the_import_alone_and_their_median_stands_below(self, mirror, tmp_path, capsys):
        kept = tmp_path / "record.json"
        options = ["--quick", "--dataset", "digits", "--json", str(kept)]
        run(EXAMPLES / "benchmarks" / "scripts.py", *options)
        record = json.loads(kept.read_text())
        assert set(RECORD) <= set(record)
        names = ["gcn", "gat", "gatv2", "sage", "gin", "cheb", "gin-mutag", "gin-proteins"]
        assert [(row["what"], row["side"]) for row in record["rows"]] == [
            (name, side) for name in names for side in ("graphkit", "PyG")
        ]
        assert all(float(row["difference"]) < 1e-5 for row in record["rows"])
        *each, middle = record["apart"]
        assert middle["cpu_ratio"] == statistics.median(one["cpu_ratio"] for one in each)
        assert "median of all scripts" in capsys.readouterr().out

    def test_a_layer_is_compared_with_its_peer_in_time_memory_and_result(self, tmp_path):
        kept = tmp_path / "record.json"
        run(EXAMPLES / "benchmarks" / "layers.py", "--quick", "--layer", "gat", "--json", str(kept))
        rows = json.loads(kept.read_text())["rows"]
        assert [row["side"] for row in rows] == ["graphkit", "PyG, edge_index", "PyG, CSR adj_t"]
        assert all(float(row["difference"]) < 1e-5 for row in rows)
        assert all(row["memory_mb"] >= 0 and row["wall"] > 0 and row["cpu"] > 0 for row in rows)

    def test_every_layer_agrees_with_every_peer(self, tmp_path):
        kept = tmp_path / "record.json"
        run(EXAMPLES / "benchmarks" / "layers.py", "--quick", "--no-memory", "--rounds", "1", "--json", str(kept))
        rows = json.loads(kept.read_text())["rows"]
        assert len({row["what"] for row in rows}) == 6
        assert all(float(row["difference"]) < 1e-5 for row in rows)

    def test_molecules_are_trained_on_beside_pygs_and_ogbs_parts(self, mirror, tmp_path):
        kept = tmp_path / "record.json"
        options = ["--quick", "--figures", "1", "--epochs", "2", "--json", str(kept)]
        run(EXAMPLES / "benchmarks" / "molecules.py", *options)
        record = json.loads(kept.read_text())
        assert record["dataset"]["graphs"] == 642
        assert [row["side"] for row in record["rows"]] == ["graphkit", "PyG and OGB"]
        assert all(len(row["values"]) == 1 for row in record["rows"])

    def test_a_gru_on_a_graph_is_beside_pygs_parts_with_the_same_results(self, tmp_path):
        kept = tmp_path / "record.json"
        run(EXAMPLES / "benchmarks" / "forecasting.py", "--quick", "--json", str(kept))
        rows = json.loads(kept.read_text())["rows"]
        assert [row["side"] for row in rows] == ["graphkit", "PyG's parts"]
        assert float(rows[0]["difference"]) < 1e-5

    def test_links_are_learnt_and_scored_beside_pygs_and_scipys_parts(self, tmp_path):
        kept = tmp_path / "record.json"
        run(EXAMPLES / "benchmarks" / "links.py", "--quick", "--json", str(kept))
        rows = json.loads(kept.read_text())["rows"]
        assert [row["side"] for row in rows] == ["graphkit", "PyG", "graphkit", "SciPy"]
        assert float(rows[-1]["difference"]) < 1e-5

    def test_processes_take_the_same_batches_however_they_hold_the_graph(self, tmp_path):
        kept = tmp_path / "record.json"
        run(EXAMPLES / "benchmarks" / "processes.py", "--quick", "--json", str(kept))
        rows = json.loads(kept.read_text())["rows"]
        assert [row["processes"] for row in rows] == [1, 2, 2, 2, 2]
        assert len({row["drawn"] for row in rows[1:4]}) == 1
        whole, part, around, home = rows[1:]
        assert whole["fetched"] == 0 < max(around["fetched"], home["fetched"]) < part["fetched"]
        assert part["features_mb"] == pytest.approx(whole["features_mb"] / 2, rel=0.1)

    def test_orders_of_the_nodes_are_compared_with_the_given_one(self, tmp_path):
        kept = tmp_path / "record.json"
        run(EXAMPLES / "benchmarks" / "reordering.py", "--quick", "--rounds", "1", "--json", str(kept))
        rows = json.loads(kept.read_text())["rows"]
        assert [row["side"] for row in rows] == ["as given", "random", "Cuthill-McKee", "METIS"]
        assert rows[0]["ratio"] == 1

    def test_a_polynomial_filter_agrees_with_the_loop_of_messages(self, tmp_path):
        kept = tmp_path / "record.json"
        run(EXAMPLES / "benchmarks" / "polynomial.py", "--quick", "--no-memory", "--rounds", "1", "--json", str(kept))
        rows = json.loads(kept.read_text())["rows"]
        assert [row["side"] for row in rows] == ["graphkit", "PyG, propagate loop"]
        assert all(float(row["difference"]) < 1e-5 for row in rows)

    def test_the_lowest_pairs_are_counted_beside_pygs_transform(self, tmp_path):
        kept = tmp_path / "record.json"
        run(EXAMPLES / "benchmarks" / "spectrum.py", "--quick", "--no-memory", "--json", str(kept))
        rows = json.loads(kept.read_text())["rows"]
        assert [row["side"] for row in rows[-3:]] == ["graphkit", "from the disk", "PyG's transform"]
        assert all(row["zeros"] == 1 and float(row["residual"]) < 1e-5 for row in rows)

    def test_a_response_learnt_on_one_graph_is_the_same_on_another(self, tmp_path):
        kept, picture = tmp_path / "record.json", tmp_path / "responses.png"
        options = ["--quick", "--models", "gcn", "--json", str(kept), "--picture", str(picture)]
        run(EXAMPLES / "benchmarks" / "transfer.py", *options)
        record = json.loads(kept.read_text())
        assert set(RECORD) <= set(record)
        assert max(off for row in record["rows"] for off in row["off"]) < 1e-5  # float32
        assert picture.stat().st_size

    def test_every_response_is_trained_on_one_basis_and_its_numbers_are_counted(self, tmp_path):
        kept = tmp_path / "record.json"
        options = ["--quick", "--responses", "free", "bspline", "--set", "terms=5", "--set", "hidden=16"]
        picture = tmp_path / "responses.png"
        run(EXAMPLES / "benchmarks" / "responses.py", *options, "--picture", str(picture), "--json", str(kept))
        assert picture.stat().st_size
        record = json.loads(kept.read_text())
        assert set(RECORD) <= set(record)
        free, smooth = record["rows"]
        assert (free["responses"], smooth["responses"]) == (12 * 20, 5 * 20)  # pairs or terms, times 16 and 4 channels
        assert free["all"] - smooth["all"] == 7 * 20

    def test_digits_on_their_grid_are_told_by_models_of_counted_parameters(self, tmp_path):
        kept = tmp_path / "record.json"
        run(EXAMPLES / "benchmarks" / "digits_grid.py", "--quick", "--json", str(kept))
        record = json.loads(kept.read_text())
        assert set(RECORD) <= set(record)
        rows = {(row["learns from"], row["model"]): row for row in record["rows"]}
        assert len(rows) == 8
        for kind in ("many", "few"):
            perceptron, cheb = rows[kind, "perceptron"]["parameters"], rows[kind, "ChebNet"]["parameters"]
            assert cheb <= perceptron < cheb + 75  # 64 inputs, 10 classes and a bias are what one more unit adds
            free, knots = (rows[kind, f"spectral, {what}"]["parameters"] for what in ("free", "5 knots"))
            # 16 channels on the tree's 96 places, and 32 x 16 on the 24 two levels up; fakes among them.
            assert free - knots == (96 - 5) * 16 + (24 - 5) * 16 * 32

    def test_wavelets_are_evaluated_in_three_ways_that_agree_and_train_without_dense_matrices(self, tmp_path):
        kept = tmp_path / "record.json"
        run(EXAMPLES / "benchmarks" / "wavelets.py", "--quick", "--exact", "100", "--no-memory", "--json", str(kept))
        rows = json.loads(kept.read_text())["rows"]
        assert [row["side"] for row in rows[:3]] == ["exact", "Chebyshev", "Krylov"]
        assert all(float(row["error"]) < 1e-6 for row in rows if row["error"])
        assert [row["side"] for row in rows[-2:]] == ["bands", "GWNN's form"]

    def test_bases_of_one_degree_recover_a_filter_equally(self, tmp_path):
        kept = tmp_path / "record.json"
        run(EXAMPLES / "benchmarks" / "filters.py", "--quick", "--json", str(kept))
        errors = json.loads(kept.read_text())["errors"]
        for name, (exact, _) in errors["chebyshev"].items():
            for basis in ("monomial", "chebii", "bernstein", "jacobi", "legendre", "optbasis"):
                assert errors[basis][name][0] == pytest.approx(exact, rel=1e-6)
        assert set(errors) == {*BASES, "chebii", "cayley", "optbasis"}
        assert all(a <= b * (1 + 1e-9) for row in errors.values() for a, b in row.values())  # none beats least squares

    def test_a_meta_step_agrees_with_the_plain_loop(self, tmp_path):
        kept = tmp_path / "record.json"
        run(EXAMPLES / "benchmarks" / "maml.py", "--quick", "--case", "2 ways, 3 shots", "--json", str(kept))
        record = json.loads(kept.read_text())
        rows = record["rows"]
        assert (record["dataset"]["name"], record["dataset"]["nodes"]) == ("random graph of 300 nodes", 300)
        assert [row["side"] for row in rows][:4] == ["graphkit", "receptive field", "PyG's layers", "plain loop"]
        ours = [row for row in rows if row["side"] in (*(side["side"] for side in rows[:4]), "by hand")]
        assert len(ours) == 5
        assert all(float(row["difference"]) < 1e-5 for row in ours)
        apart = [one["what"].removeprefix("2 ways, 3 shots: ") for one in record["apart"]]
        assert apart[:3] == ["graphkit", "graphkit, CSR features in the peer", "graphkit's layers and sparse features"]

    def test_each_way_of_a_meta_step_is_named_with_what_it_gains(self, tmp_path):
        kept = tmp_path / "record.json"
        case = ("--quick", "--nodes", "400", "--degree", "2", "--paths", "--case", "2 ways, 3 shots")
        run(EXAMPLES / "benchmarks" / "maml.py", *case, "--json", str(kept))
        rows = json.loads(kept.read_text())["rows"]
        ways = {row["side"]: row["way"] for row in rows}
        assert {ways[name] for name in ("sage", "gat", "gin", "PyG's GCN")} == {"task_parameters"}
        assert (ways["gcn"], ways["PyG's GATv2"], ways["perceptron"]) == ("gcn_span", "subgraph", "vmap_rows")
        assert all(float(row["difference"]) < 1e-4 for row in rows)  # float32
        assert all(row["gain"].endswith("x") for row in rows)

    def test_the_ways_of_a_meta_step_by_hand_come_to_one_loss(self):
        importlib.import_module("_measure").without_beta_warnings()
        sides = importlib.import_module("maml")
        items, losses = sides.graph(300, 6), {}
        tasks = list(TaskSet.draw(items, range(7), FewShotProtocol(n_way=2, k_shot=3, n_query=4, n_tasks=2)))
        for side in ("graphkit", "by hand", "sparse", "CSR features"):
            _, meta_loss = sides.loop_of(side, items, 2, "gcn")
            losses[side] = meta_loss(tasks).item()
        assert losses["CSR features"] == pytest.approx(losses["by hand"], rel=1e-5)  # float32
        assert losses["sparse"] == pytest.approx(losses["graphkit"], rel=1e-5)

    def test_growth_is_shown_over_edges(self, capsys):
        run(EXAMPLES / "benchmarks" / "layers.py", "--quick", "--scaling", "--layer", "gcn", "--rounds", "1")
        assert "10,000 edges" in capsys.readouterr().out

    def test_a_peer_that_is_installed_by_half_is_left_out_with_a_word(self, monkeypatch, tmp_path, capsys):
        usable = importlib.import_module("_measure").usable
        (tmp_path / "hollow_peer").mkdir()  # what an uninstallation may leave: a package of nothing
        (tmp_path / "broken_peer.py").write_text("import a_part_that_is_not_there")
        monkeypatch.syspath_prepend(tmp_path)
        assert not usable("no_such_peer", "function")
        assert capsys.readouterr().err == ""
        for peer in ("hollow_peer", "broken_peer"):
            assert not usable(peer, "function")
            assert f"{peer} is left out" in capsys.readouterr().err
        assert usable("json", "loads")

    def test_losses_over_all_tuples_agree_with_what_writes_them_down(self, tmp_path):
        kept = tmp_path / "record.json"
        options = ["--quick", "--no-memory", "--case", "quadruplet-2048", "--case", "infonce-10000"]
        run(EXAMPLES / "benchmarks" / "triplet.py", *options, "--json", str(kept))
        rows = json.loads(kept.read_text())["rows"]
        assert [row["side"] for row in rows] == ["graphkit", "graphkit", "plain PyTorch"]
        assert float(rows[-2]["difference"]) < 1e-5

    @pytest.mark.parametrize(("usable", "said"), [(False, "is not installed"), (True, "would need more than")])
    def test_a_peer_that_is_not_run_is_named_with_the_reason(self, monkeypatch, capsys, usable, said):
        monkeypatch.setattr(importlib.import_module("_measure"), "usable", lambda peer, needs: usable)
        options = ["--quick", "--no-memory", "--case", "triplet-1024", "--most", "0"]
        spec = importlib.util.spec_from_file_location("triplet_benchmark", EXAMPLES / "benchmarks" / "triplet.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        assert not module.main(options)
        assert f"pytorch-metric-learning {said}" in " ".join(capsys.readouterr().out.split())

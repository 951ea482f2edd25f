"""Self-supervised methods: each loss against the paper's formula written out, and what training does to it."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from graphkit.contrastive import BGRL, CCASSG, DGI, GRACE, AbstractSelfSupervision, Augmentation, View, pretrain
from graphkit.contrastive.methods import corrupt
from graphkit.nn import Encoder, GCNConv, SAGEConv
from graphkit.operators import sparse_features


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def view() -> View:
    """Forty nodes in two communities, with sparse features."""
    drawn = generator(1)
    community = torch.arange(40) % 2
    same = community[:, None] == community[None, :]
    joined = (torch.rand(40, 40, generator=drawn) < torch.where(same, 0.3, 0.03)).triu(1)
    x = (torch.rand(40, 12, generator=drawn) < 0.3).double()
    return View(x, (joined | joined.T).nonzero().T.contiguous())


def encoder(conv=GCNConv, channels: int = 6) -> Encoder:
    return Encoder(12, 8, channels, conv=conv, dropout=0.0).double()


METHODS = {
    "ccassg": lambda e: CCASSG(e, Augmentation(edge_drop=0.3, feature_mask=0.2)),
    "grace": lambda e: GRACE(
        e, 6, first=Augmentation(edge_drop=0.3), second=Augmentation(feature_mask=0.3), projector_channels=5
    ),
    "dgi": lambda e: DGI(e, 6),
    "bgrl": lambda e: BGRL(
        e, 6, first=Augmentation(edge_drop=0.3), second=Augmentation(feature_mask=0.3), predictor_channels=5
    ),
}


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("conv", [GCNConv, SAGEConv])
def test_training_lowers_the_loss_for_encoders_with_and_without_edge_weights(name, conv, view):
    method = METHODS[name](encoder(conv)).double()
    losses = list(pretrain(method, view.x, view.edge_index, epochs=60, lr=0.01, generator=generator()))
    assert sum(losses[-10:]) < sum(losses[:10])


@pytest.mark.parametrize("name", METHODS)
def test_the_embedding_is_the_encoder_s_on_the_graph_as_it_is_and_changes_no_mode(name, view):
    method = METHODS[name](encoder()).double()
    method.train()
    frozen = method.encoder.convs[0].eval()
    z = method.embed(view.x, view.edge_index)
    assert [part.training for part in (method, method.encoder, frozen)] == [True, True, False]
    method.eval()
    assert torch.equal(z, method.after(method.encoder(view.x, view.edge_index)).detach())
    assert not z.requires_grad


@pytest.mark.parametrize("name", METHODS)
def test_a_run_is_a_function_of_weights_and_generator(name, view):
    method = METHODS[name](encoder()).double()
    twin = copy.deepcopy(method)
    runs = [
        list(pretrain(each, view.x, view.edge_index, epochs=5, lr=0.01, generator=generator(4)))
        for each in (method, twin)
    ]
    assert runs[0] == runs[1]


@pytest.mark.parametrize("name", ["ccassg", "grace", "bgrl"])
def test_sparse_features_give_the_loss_of_dense_ones(name, view):
    method = METHODS[name](encoder()).double()
    dense = method.loss(view, generator(2))
    sparse = method.loss(View(sparse_features(view.x), view.edge_index), generator(2))
    torch.testing.assert_close(sparse, dense, rtol=0, atol=1e-10)


def test_canonical_correlation_is_the_formula_written_out(view):
    method = CCASSG(encoder(), Augmentation(edge_drop=0.3, feature_mask=0.2), decorrelation=0.01)
    drawn = generator(3)
    with torch.no_grad():
        first, second = (method.encode(method.augmentation(view, drawn, weighted=True)) for _ in range(2))
    expected, nodes = 0.0, len(first)
    first, second = ((z - z.mean(0)) / z.std(0) for z in (first, second))
    for a in range(6):
        expected -= float((first[:, a] * second[:, a]).sum()) / nodes
        for b in range(6):
            for z in (first, second):
                expected += 0.01 * (float((z[:, a] * z[:, b]).sum()) / nodes - (a == b)) ** 2
    assert method.loss(view, generator(3)).item() == pytest.approx(expected, abs=1e-12)


def test_a_channel_that_is_constant_spoils_nothing(view):
    method = CCASSG(encoder(), Augmentation())
    with torch.no_grad():
        method.encoder.convs[1].lin.weight[0] = 0
    loss = method.loss(view, generator())
    loss.backward()
    assert bool(loss.isfinite())
    assert all(bool(p.grad.isfinite().all()) for p in method.parameters())


def test_contrast_of_both_views_is_the_formula_written_out(view):
    method = METHODS["grace"](encoder()).double()
    drawn = generator(3)
    views = [augment(view, drawn, weighted=True) for augment in (method.first, method.second)]
    first, second = (F.normalize(method.projector(method.encode(each)), dim=-1) for each in views)
    terms = []
    for one, other in ((first, second), (second, first)):
        for i in range(len(one)):
            positive = (one[i] @ other[i] / 0.5).exp()
            others = (other @ one[i] / 0.5).exp().sum()
            own = (one @ one[i] / 0.5).exp().sum() - (one[i] @ one[i] / 0.5).exp()
            terms.append(-(positive / (others + own)).log())
    assert method.loss(view, generator(3)).item() == pytest.approx(torch.stack(terms).mean().item(), abs=1e-9)


def test_infomax_is_binary_cross_entropy_of_real_and_corrupted_nodes(view):
    method = METHODS["dgi"](encoder()).double()
    real, fake = method.encode(view), method.encode(corrupt(view, generator(3)))
    summary = real.mean(0).sigmoid()
    scores = torch.cat([real, fake]) @ method.weight @ summary
    truth = torch.cat([torch.ones(40), torch.zeros(40)]).double()
    expected = F.binary_cross_entropy_with_logits(scores, truth)
    torch.testing.assert_close(method.loss(view, generator(3)), expected, rtol=0, atol=1e-12)


def test_moved_edges_are_shuffled_features_in_another_order(view):
    method = METHODS["dgi"](encoder()).double()
    sparse = View(sparse_features(view.x), view.edge_index)
    moved = method.encode(corrupt(sparse, generator(3)))
    order = torch.randperm(40, generator=generator(3))
    # Node order[i] of the moved graph stands where node i stood: it has x[order[i]] and the neighbours of i.
    shuffled = method.encode(View(view.x[order], view.edge_index))
    torch.testing.assert_close(moved[order], shuffled, rtol=0, atol=1e-12)


def test_the_target_network_gets_no_gradient_and_follows_slowly(view):
    method = METHODS["bgrl"](encoder()).double()
    method.loss(view, generator()).backward()
    assert all(p.grad is None for p in method.target_encoder.parameters())
    old = [p.clone() for p in method.target_encoder.parameters()]
    method.after_step(0.0)
    for before, slow, quick in zip(old, method.target_encoder.parameters(), method.encoder.parameters(), strict=True):
        torch.testing.assert_close(slow, 0.99 * before + 0.01 * quick, rtol=0, atol=1e-12)
    now = [p.clone() for p in method.target_encoder.parameters()]
    method.after_step(1.0)
    for before, after in zip(now, method.target_encoder.parameters(), strict=True):
        assert torch.equal(before, after)


def test_the_target_of_an_encoder_of_ones_own_begins_elsewhere_too():
    class Own(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.lin = GCNConv(8, 8), torch.nn.Linear(8, 3)

        def forward(self, x, edge_index):
            return self.lin(self.conv(x, edge_index).relu())

    method = BGRL(Own(), 3, first=Augmentation(), second=Augmentation())
    pairs = zip(method.target_encoder.parameters(), method.encoder.parameters(), strict=True)
    assert not any(torch.equal(slow, quick) for slow, quick in pairs if quick.dim() > 1)


def test_a_loss_that_is_not_finite_stops_the_run(view):
    method = METHODS["ccassg"](encoder())
    with pytest.raises(ValueError, match="not finite in epoch 1"):
        list(pretrain(method, view.x * float("nan"), view.edge_index, epochs=2, lr=0.01, generator=generator()))


@pytest.mark.parametrize(("option", "value"), [("epochs", 0), ("lr", 0.0), ("lr", float("nan"))])
def test_impossible_options_are_refused(option, value, view):
    options = {"epochs": 1, "lr": 0.1, option: value}
    with pytest.raises(ValueError, match=f"`{option}` must be"):
        next(pretrain(METHODS["dgi"](encoder()).double(), view.x, view.edge_index, **options, generator=generator()))


def test_a_method_goes_around_any_encoder(view):
    class Mean(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lin = nn.Linear(12, 6).double()

        def forward(self, x, edge_index):
            return self.lin(x).relu()

    loss = METHODS["ccassg"](Mean()).loss(view, generator())
    assert bool(loss.isfinite())


@pytest.mark.parametrize("name", METHODS)
def test_every_method_embeds_the_graph_as_it_is(name, view):
    method = METHODS[name](encoder()).double()
    assert isinstance(method, AbstractSelfSupervision)
    z = method.train().embed(view.x, view.edge_index)
    assert method.training
    assert not z.requires_grad
    assert torch.equal(z, method.eval()(view.x, view.edge_index))


def test_a_step_under_its_old_name_is_still_taken(view):
    taken = []
    with pytest.warns(DeprecationWarning, match="is called `after_step` now"):

        class Older(DGI):
            def stepped(self, progress):
                taken.append(progress)

    method = Older(encoder(), 6).double()
    list(pretrain(method, view.x, view.edge_index, epochs=2, lr=0.01, generator=generator()))
    assert taken == [0.5, 1.0]

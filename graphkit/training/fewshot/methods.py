"""The named learners and baselines of a few-shot study."""

from __future__ import annotations

from typing import Any

from graphkit.training.fewshot.meta_learnt import Gradient, MetaLearnt, PrototypicalNet
from graphkit.training.fewshot.method import AbstractMethod
from graphkit.training.fewshot.transfer import Classifier, Whitened
from graphkit.training.fewshot.untrained import Logistic, Prototypes, Ridge, SemiSupervised


def _perceptron(learner: Gradient, **fields: Any) -> MetaLearnt:
    return MetaLearnt(learner=learner, rows="centred-4", scale=36.0, **fields)


CHOSEN, CHOICES = "chosen", ("features-2", "features-4", "centred-4", "weighted-4")
"""The name of rows that validation tasks choose, and what they choose from."""

METHODS: dict[str, AbstractMethod] = {
    "prototypes-0": Prototypes(rows="features-0"),
    "prototypes-2": Prototypes(rows="features-2"),
    "prototypes-4": Prototypes(rows="features-4"),
    "prototypes-centred": Prototypes(rows="centred-4"),
    "prototypes-weighted": Prototypes(rows="weighted-4"),
    "prototypes-semi": SemiSupervised(rows="weighted-4"),
    "prototypes-whitened": Whitened(rows="weighted-4"),
    "ridge": Ridge(rows="weighted-4"),
    "ridge-semi": Ridge(rows="weighted-4", unlabelled=True),
    "ridge-semi-chosen": Ridge(rows=CHOSEN, unlabelled=True, intercept="chosen"),
    "logistic": Logistic(rows="centred-4"),
    "random-start": Classifier(rows="centred-4", scale=36.0, pretrained=False),
    "fine-tuning": Classifier(rows="centred-4", scale=36.0),
    "transfer": Classifier(rows="centred-4", scale=36.0, adaptation="prototypes"),
    "protonet": PrototypicalNet(rows="centred-4"),
    "maml": _perceptron("maml"),
    "fomaml": _perceptron("fomaml"),
    "reptile": _perceptron("reptile"),
    "anil": _perceptron("anil"),
    "meta-sgd": _perceptron("meta-sgd"),
    "protomaml": MetaLearnt(learner="protomaml", model="weights", rows="centred-4", inner_lr=1.0),
    "protomaml-chosen": MetaLearnt(learner="protomaml", model="weights", rows=CHOSEN, inner_lr=1.0),
    "encoder-prototypes": Prototypes(rows="encoder"),
    "encoder-semi": SemiSupervised(rows="encoder"),
    "encoder-whitened": Whitened(rows="encoder"),
    "encoder-ridge": Ridge(rows="encoder"),
    "encoder-ridge-semi": Ridge(rows="encoder", unlabelled=True),
    "encoder-logistic": Logistic(rows="encoder"),
    "encoder-protomaml": MetaLearnt(learner="protomaml", model="weights", rows="encoder", inner_lr=1.0, margin=2.0),
    "encoder-protomaml-semi": MetaLearnt(
        learner="protomaml", model="weights", rows="encoder", inner_lr=1.0, lr=0.003, unlabelled=True
    ),
}
"""Named methods. Those whose name begins with "encoder" stand on embeddings learnt without labels. Rates, depth, scale
and centring were chosen by accuracy on validation tasks of Cora and CiteSeer, over all pairs of classes: a class that
selects in one split is tested on in another, so that on these two data sets the choice has seen such labels."""

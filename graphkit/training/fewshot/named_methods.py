"""Named methods of few-shot classification, and the baselines that stand beside a learner."""

from __future__ import annotations

from typing import Any

from graphkit._checks import member
from graphkit.training.fewshot.baseline_methods import Classifier, Logistic, Prototypes, Ridge, SemiSupervised, Whitened
from graphkit.training.fewshot.meta_learners import Gradient, MetaLearnt, PrototypicalNet
from graphkit.training.fewshot.method import AbstractMethod


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


BASELINES = ("prototypes-2", "prototypes-centred", "prototypes-weighted", "logistic", "random-start", "fine-tuning")
"""What stands beside a single learner."""

ON_ENCODERS = ("encoder-prototypes", "encoder-semi", "encoder-ridge", "encoder-ridge-semi", "encoder-whitened")
"""What stands beside one that stands on an encoder, too."""

BESIDE: dict[str, tuple[bool, ...]] = {"all": (True, False), "untrained": (False,), "none": ()}
"""Which of them are asked for: those that are trained on other classes, those that are not, or neither."""


def with_baselines(name: str, baselines: str = "all") -> list[str]:
    """Return the names of a study: all methods, or the baselines and the one that was asked for.

    Args:
        name: of a method, or "all".
        baselines: "all" of them, "none", or those that are "untrained": without the labels of the training classes.

    Raises:
        ValueError: for an unknown name, of a method or of what stands beside it.

    Example:
        >>> with_baselines("maml")
        ['prototypes-2', 'prototypes-centred', 'prototypes-weighted', 'logistic', 'random-start', 'fine-tuning', 'maml']
        >>> with_baselines("maml", "untrained")
        ['prototypes-2', 'prototypes-centred', 'prototypes-weighted', 'logistic', 'random-start', 'maml']
    """
    allowed = BESIDE[member("baselines", baselines, BESIDE)]
    if name == "all":
        return list(METHODS)
    member("learner", name, [*METHODS, "all"])
    beside = [*BASELINES, *(ON_ENCODERS if METHODS[name].rows == "encoder" else ())]
    return [*(other for other in beside if other != name and METHODS[other].trained in allowed), name]

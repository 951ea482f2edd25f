"""Named methods of few-shot classification, and the baselines that stand beside a learner."""

from __future__ import annotations

from graphkit._checks import flag, member
from graphkit.training.fewshot.baseline_methods import (
    BASELINE_METHODS,
    Logistic,
    Prototypes,
    Ridge,
    SemiSupervised,
    Whitened,
)
from graphkit.training.fewshot.meta_learners import META_LEARNERS, AbstractMetaTrained, MetaLearnt
from graphkit.training.fewshot.method import AbstractMethod
from graphkit.training.fewshot.task_models import GRAPH_MODELS, is_filter

METHODS: dict[str, AbstractMethod] = {
    **BASELINE_METHODS,
    **META_LEARNERS,
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


BASELINES = (
    "prototypes-0",
    "prototypes-2",
    "prototypes-centred",
    "prototypes-weighted",
    "prototypes-counts",
    "view-ridge",
    "logistic",
    "random-start",
    "fine-tuning",
)
"""What stands beside a single learner."""

ON_ENCODERS = ("encoder-prototypes", "encoder-semi", "encoder-ridge", "encoder-ridge-semi", "encoder-whitened")
"""What stands beside one that stands on an encoder, too."""

BESIDE: dict[str, tuple[bool, ...]] = {"all": (True, False), "untrained": (False,), "none": ()}
"""Which of them are asked for: those that are trained on other classes, those that are not, or neither."""


def learners_of_graph_models() -> list[str]:
    """Return the names of the methods that can train a graph model.

    Example:
        >>> learners_of_graph_models()[:4]
        ['protonet', 'siamese', 'maml', 'fomaml']
    """
    return [
        name
        for name, method in METHODS.items()
        if isinstance(method, AbstractMetaTrained) and not getattr(method, "unlabelled", False)
    ]


GRAPH_FIELDS = {"scale": 10.0, "inner_lr": 1.0, "lr": 0.001}
"""Fields of learners whose model is a graph model, those of them that a learner has: what did best with GCN."""

FILTER_FIELDS = {**GRAPH_FIELDS, "scale": 36.0, "inner_lr": 0.3}
"""The same where one filter follows a perceptron: what did best with ChebNetII."""


def graph_learner(name: str, model: str) -> dict[str, AbstractMethod]:
    """Return a learner with a graph model in place of its perceptron or weights, by the name "MODEL-LEARNER".

    It sees the same rows, as features of the nodes; the convolutions see the neighbours of each too, and in a learner
    that takes steps on a support they are what the steps move.

    Args:
        name: of a method in ``METHODS`` that is trained on tasks.
        model: a graph model of ``TaskModel``, such as "gcn", "gat", "sage" or "chebii".

    Raises:
        ValueError: for an unknown name, a learner that trains no such model, and one that is no graph model.

    Example:
        >>> made = graph_learner("maml", "gcn")
        >>> made["gcn-maml"].model, made["gcn-maml"].inner_lr
        ('gcn', 1.0)
    """
    method = METHODS[member("learner", name, METHODS)]
    member("encoder_model", model, GRAPH_MODELS)
    able = learners_of_graph_models()
    if name not in able:
        raise ValueError(f"`learner` {name!r} trains no graph model; take one that does: {', '.join(able)}.")
    wanted = FILTER_FIELDS if is_filter(model) else GRAPH_FIELDS
    fields = {field: value for field, value in wanted.items() if field in method.options()}
    return {f"{model}-{name}": method.with_({"model": model, **fields})}


def with_baselines(
    name: str, baselines: str = "all", *, all_classes: bool = False, whole_graphs: bool = False
) -> list[str]:
    """Return the names of a study: all methods, or the baselines and the one that was asked for.

    Args:
        name: of a method, or "all".
        baselines: "all" of them, "none", or those that are "untrained": without the labels of the training classes.
        all_classes: whether all classes are tested on, so that what is trained or chosen on others is left out.
        whole_graphs: whether those are tested on; what looks at those alone is left out elsewhere.

    Raises:
        ValueError: for an unknown name, of a method or of what stands beside it; and for a method that needs other
            classes, or whole graphs, where there are none.

    Example:
        >>> with_baselines("maml")
        ['prototypes-0', ..., 'view-ridge', 'logistic', 'random-start', 'fine-tuning', 'maml']
        >>> with_baselines("maml", "untrained")[-3:]
        ['logistic', 'random-start', 'maml']
        >>> with_baselines("view-ridge", all_classes=True)
        ['prototypes-0', 'prototypes-2', 'prototypes-centred', 'prototypes-weighted', 'view-ridge']
    """
    allowed = BESIDE[member("baselines", baselines, BESIDE)]
    alone, whole = flag("all_classes", all_classes), flag("whole_graphs", whole_graphs)
    known = {other: method for other, method in METHODS.items() if whole or not method.of_graphs}
    fitting = [other for other, method in known.items() if not (alone and method.needs_other_classes)]
    if name == "all":
        return fitting
    member("learner", name, [*METHODS, "all"])
    if name not in known:
        raise ValueError(f"`learner` {name!r} looks at whole graphs, and here are nodes; take one that does not.")
    if name not in fitting:
        raise ValueError(
            f"`learner` {name!r} is trained or chosen on other classes than those that it is tested on, and here all "
            f"classes are; take one that is not: {', '.join(fitting)}."
        )
    beside = [*BASELINES, *(ON_ENCODERS if METHODS[name].rows == "encoder" else ())]
    beside = [other for other in beside if other in fitting]
    return [*(other for other in beside if other != name and METHODS[other].trained in allowed), name]

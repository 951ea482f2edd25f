"""The one place where arguments are refused.

A user's mistake raises ``ValueError`` or ``TypeError`` here, once, at the public border; below it the code trusts.
Every message names the argument, what is required, what was given, and where it helps the way out.

The command line looks names up here before torch is loaded, so nothing here imports it, or NumPy, at the top.
"""

from graphkit._checks.graphs import (
    FLOWS,
    MAX_NODES,
    batch_vector,
    cluster_vector,
    clusters_within_graphs,
    degree_weights,
    edge_index_in_range,
    edge_index_shape,
    eigenvalue_in_range,
    finite_weights,
    laplacian_weights,
    largest_eigenvalues,
    message_flow,
    no_empty_cluster,
    node_count,
    node_counts,
    node_ids,
    nonnegative_degrees,
    nonnegative_edge_weights,
    one_value_per_edge,
    same_graph,
    same_graph_as_weights,
    scalar_or_per_graph,
    sources_in_range,
    symmetric_operator,
    undirected,
    valid_indptr,
)
from graphkit._checks.items import (
    categories,
    class_count,
    embeddings,
    index_or_mask,
    integer_labels,
    integer_vector,
    item_ids,
    min_and_max,
    require_finite_logits,
)
from graphkit._checks.kinds import (
    dense,
    flag,
    floating_dtype,
    function,
    instance,
    list_of,
    not_vmapped,
    optional_generator,
    path,
    random_generator,
    tensor,
    to_numpy,
    torch_module,
)
from graphkit._checks.names import (
    member,
    printable,
    printable_name,
    suggestion,
    text,
)
from graphkit._checks.numbers import (
    at_least,
    count,
    fraction,
    integer_between,
    integer_list,
    not_negative,
    number,
    positive,
    rescaling_eigenvalue,
    seed,
    teleport_probability,
    within,
)
from graphkit._checks.signals import (
    dense_features,
    features,
    features_per_item,
    one_row_per_column,
    one_row_per_node,
    pair_of_features,
    same_device,
)

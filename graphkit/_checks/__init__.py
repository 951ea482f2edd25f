"""Argument validation: the one place where arguments are refused.

A user's mistake raises ``ValueError`` or ``TypeError`` here, once, at the public border; below it the code trusts.
Every message names the argument, what is required, what was given, and where it helps the way out.

The command line looks names up here before torch is loaded, so nothing here imports it, or NumPy, at the top.
"""

# fmt: off
from graphkit._checks.graphs import (
    FLOWS, MAX_NODES, batch_vector, cluster_vector, clusters_within_graphs, degree_weights, edge_index_in_range,
    edge_index_shape, eigenvalue_in_range, finite_weights, laplacian_weights, largest_eigenvalues, message_flow,
    no_empty_cluster, node_count, node_counts, node_ids, nonnegative_degrees, nonnegative_edge_weights,
    one_value_per_edge, same_graph, same_graph_as_weights, scalar_or_per_graph, sources_in_range,
    symmetric_operator, undirected, valid_indptr,
)
from graphkit._checks.tensors import (
    categories, class_count, class_labels, dense, dense_features, embeddings, features, features_per_item,
    floating_dtype, index_or_mask, integer_labels, integer_vector, item_ids, min_and_max, not_vmapped,
    one_row_per_column, one_row_per_node, optional_generator, pair_of_features, random_generator,
    require_finite_logits, same_device, tensor, to_numpy, torch_module,
)
from graphkit._checks.values import (
    as_list, at_least, count, extra, flag, fraction, function, index_below, instance, integer_between, integer_list,
    list_of, member, not_negative, number, path, paths, positive, printable, printable_name, rescaling_eigenvalue, seed,
    suggestion, teleport_probability, text, within,
)

"""How mixed clusters are, and how well they agree with labels: formula and source in each docstring.

Clusters and labels may be of any kind: strings, integers with gaps, floats, booleans, dates.
"""

from typing import Any

import numpy as np

from caescope import counts
from caescope.errors import DataError
from caescope.parsing import is_missing


def gini(labels) -> float:
    r"""Return the Gini impurity of a group: the chance that two draws from it (with replacement) differ.

    :math:`1 - \sum_l p_l^2`, where :math:`p_l` is the share of label l. 0 for a group of one label, at most
    1 - 1/n_labels.

    Parameters
    ----------
    labels : array_like, shape (n_images,)
        May be empty; the impurity is 0 then.

    Returns
    -------
    float, in [0, 1)

    Raises
    ------
    DataError
        If a label is missing (None, NaN), or labels are not one value for each image.

    References
    ----------
    Breiman, Friedman, Olshen and Stone, *Classification and Regression Trees*, 1984.

    Examples
    --------
    >>> gini(["cat", "cat", "dog", "dog"])
    0.5
    """
    return float(counts.gini(_counts(labels)))


def entropy(labels) -> float:
    r"""Return the Shannon entropy of the labels of a group, in bits.

    :math:`-\sum_l p_l \log_2 p_l`, where :math:`p_l` is the share of label l. 0 for a group of one label, at
    most :math:`\log_2` n_labels.

    Parameters
    ----------
    labels : array_like, shape (n_images,)
        May be empty; the entropy is 0 then.

    Returns
    -------
    float, bits, at least 0

    Raises
    ------
    DataError
        If a label is missing (None, NaN), or labels are not one value for each image.

    References
    ----------
    Shannon, "A mathematical theory of communication", Bell System Technical Journal 27, 1948.

    Examples
    --------
    >>> entropy([1, 2, 3, 4])
    2.0
    """
    return float(counts.entropy(_counts(labels)))


def contingency(clusters, labels) -> tuple[np.ndarray, list, list]:
    """Count how often each cluster meets each label.

    Parameters
    ----------
    clusters, labels : array_like, shape (n_images,)

    Returns
    -------
    table : numpy.ndarray, shape (n_clusters, n_labels), int64
    cluster_names, label_names : list
        What rows and columns stand for, sorted, as plain Python values.

    Raises
    ------
    DataError
        If there are no images, a value is missing, or the two differ in length.

    Examples
    --------
    >>> contingency([0, 0, 7], ["cat", "dog", "dog"])
    (array([[1, 1], [0, 1]]), [0, 7], ['cat', 'dog'])
    """
    rows, cluster_names, columns, label_names = _encode_pair(clusters, labels)
    shape = len(cluster_names), len(label_names)
    cells = np.ravel_multi_index((rows, columns), shape)
    return np.bincount(cells, minlength=shape[0] * shape[1]).reshape(shape), cluster_names, label_names


def cluster_gini(clusters, labels) -> dict[Any, float]:
    """Return the Gini impurity of the labels in each cluster; see `gini`.

    Parameters
    ----------
    clusters, labels : array_like, shape (n_images,)

    Returns
    -------
    dict
        Cluster: impurity, in [0, 1).

    Raises
    ------
    DataError
        As `contingency`.

    Examples
    --------
    >>> cluster_gini([0, 0, 1, 1], ["cat", "cat", "cat", "dog"])
    {0: 0.0, 1: 0.5}
    """
    table, names, _ = contingency(clusters, labels)
    return dict(zip(names, counts.gini(table).tolist(), strict=True))


def cluster_entropy(clusters, labels) -> dict[Any, float]:
    """Return the entropy of the labels in each cluster, in bits; see `entropy`.

    Parameters
    ----------
    clusters, labels : array_like, shape (n_images,)

    Returns
    -------
    dict
        Cluster: entropy in bits, at least 0.

    Raises
    ------
    DataError
        As `contingency`.

    Examples
    --------
    >>> cluster_entropy([0, 0, 1, 1], ["cat", "cat", "cat", "dog"])
    {0: 0.0, 1: 1.0}
    """
    table, names, _ = contingency(clusters, labels)
    return dict(zip(names, counts.entropy(table).tolist(), strict=True))


def cluster_purity(clusters, labels) -> dict[Any, float]:
    r"""Return the share of the commonest label in each cluster: :math:`\max_l p_l`.

    Parameters
    ----------
    clusters, labels : array_like, shape (n_images,)

    Returns
    -------
    dict
        Cluster: share, in (0, 1].

    Raises
    ------
    DataError
        As `contingency`.

    References
    ----------
    Manning, Raghavan and Schütze, *Introduction to Information Retrieval*, 2008, section 16.3.

    Examples
    --------
    >>> cluster_purity([0, 0, 1, 1], ["cat", "cat", "cat", "dog"])
    {0: 1.0, 1: 0.5}
    """
    table, names, _ = contingency(clusters, labels)
    return dict(zip(names, counts.purities(table).tolist(), strict=True))


def purity(clusters, labels) -> float:
    r"""Return the share of images whose label is the commonest one in their cluster.

    :math:`\frac{1}{n} \sum_k \max_l n_{kl}`, where :math:`n_{kl}` counts label l in cluster k. It grows with
    the number of clusters: one cluster for each image has purity 1.

    Parameters
    ----------
    clusters, labels : array_like, shape (n_images,)

    Returns
    -------
    float, in (0, 1]

    Raises
    ------
    DataError
        As `contingency`.

    References
    ----------
    Manning, Raghavan and Schütze, *Introduction to Information Retrieval*, 2008, section 16.3.

    Examples
    --------
    >>> purity([0, 0, 1, 1], ["cat", "cat", "cat", "dog"])
    0.75
    """
    return counts.purity(contingency(clusters, labels)[0])


def matched_accuracy(clusters, labels) -> float:
    r"""Return the accuracy when each cluster stands for one label, and no two for the same.

    :math:`\frac{1}{n} \max_m \sum_k n_{k\,m(k)}` over all one-to-one matchings m; images of a cluster or
    label that is left over count as errors. The best matching is found by the Hungarian method.

    Parameters
    ----------
    clusters, labels : array_like, shape (n_images,)
        The number of clusters and of labels may differ.

    Returns
    -------
    float, in (0, 1]

    Raises
    ------
    DataError
        As `contingency`.

    References
    ----------
    Kuhn, "The Hungarian method for the assignment problem", Naval Research Logistics Quarterly 2, 1955.

    Examples
    --------
    >>> matched_accuracy([7, 7, 3, 3], ["cat", "cat", "cat", "dog"])
    0.75
    """
    return counts.matched_accuracy(contingency(clusters, labels)[0])


def nmi(clusters, labels) -> float:
    r"""Return the normalised mutual information of clusters and labels.

    :math:`2 I(C; L) / (H(C) + H(L))`: 1 where they are the same but for the names, 0 where independent.

    Parameters
    ----------
    clusters, labels : array_like, shape (n_images,)

    Returns
    -------
    float, in [0, 1]

    Raises
    ------
    DataError
        As `contingency`.

    References
    ----------
    Strehl and Ghosh, "Cluster ensembles", Journal of Machine Learning Research 3, 2002; scikit-learn's
    ``normalized_mutual_info_score`` with the arithmetic mean.

    Examples
    --------
    >>> nmi([0, 0, 1, 1], ["dog", "dog", "cat", "cat"])
    1.0
    """
    return counts.nmi_of(*_count_pairs(clusters, labels))


def ari(clusters, labels) -> float:
    """Return the adjusted Rand index of clusters and labels.

    The share of pairs of images on which the two agree (together in both, or apart in both), shifted and
    scaled so that chance gives 0 on average and perfect agreement gives 1.

    Parameters
    ----------
    clusters, labels : array_like, shape (n_images,)

    Returns
    -------
    float, in [-0.5, 1]

    Raises
    ------
    DataError
        As `contingency`.

    References
    ----------
    Hubert and Arabie, "Comparing partitions", Journal of Classification 2, 1985; scikit-learn's
    ``adjusted_rand_score``.

    Examples
    --------
    >>> ari([0, 0, 1, 1], ["dog", "dog", "cat", "cat"])
    1.0
    """
    return counts.ari_of(*_count_pairs(clusters, labels))


def encode_labels(labels, name: str = "labels") -> tuple[np.ndarray, list]:
    """Number labels of any kind.

    Parameters
    ----------
    labels : array_like, shape (n_images,)
    name : str
        What error messages call them.

    Returns
    -------
    codes : numpy.ndarray, shape (n_images,), int64
        For each image the position of its label among the names.
    names : list
        The distinct labels as plain Python values, sorted; by type first where they cannot be compared.

    Raises
    ------
    DataError
        If a label is missing (None, NaN), or labels are not one value for each image.

    Examples
    --------
    >>> encode_labels(["dog", "cat", "dog"])
    (array([1, 0, 1]), ['cat', 'dog'])
    """
    values = _parse_row(labels, name)
    distinct = set(values)
    try:
        names = sorted(distinct)
    except TypeError:
        names = sorted(distinct, key=lambda value: (type(value).__name__, str(value)))
    code_of = {value: code for code, value in enumerate(names)}
    return np.fromiter((code_of[value] for value in values), np.int64, len(values)), names


def _encode_pair(clusters, labels) -> tuple[np.ndarray, list, np.ndarray, list]:
    """Return codes and names of clusters, then those of labels."""
    rows, cluster_names = encode_labels(clusters, "clusters")
    columns, label_names = encode_labels(labels)
    if len(rows) != len(columns) or not len(rows):
        raise DataError(
            "clusters and labels must hold one value for each image, and at least one",
            f"{len(rows)} clusters and {len(columns)} labels",
            "Give both for the same images, in the same order.",
        )
    return rows, cluster_names, columns, label_names


def _count_pairs(clusters, labels) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return how often each pair that occurs does, and each cluster, and each label."""
    rows, _, columns, label_names = _encode_pair(clusters, labels)
    pairs = np.unique(rows * len(label_names) + columns, return_counts=True)[1]
    return pairs, np.bincount(rows), np.bincount(columns)


def _parse_row(labels, name: str) -> list:
    """Return labels as a list of plain Python values, none of them missing."""
    array = _as_row(labels, name)
    values = [value.item() if isinstance(value, np.generic) else value for value in array.tolist()]
    try:
        missing = any(map(is_missing, set(values))) or np.ma.is_masked(labels)
    except TypeError:
        kinds = ", ".join(sorted({type(value).__name__ for value in values}))
        advice = "Use strings, integers, floats or booleans."
        raise DataError(f"{name} must be single values", f"values of type {kinds}", advice) from None
    if missing:
        raise DataError(
            f"{name} must not be missing for any image",
            "None or NaN among them",
            "Give every image one, for example 'unknown', or leave those images out.",
        )
    return values


def _as_row(labels, name: str) -> np.ndarray:
    try:
        # Left to itself, NumPy would turn [nan, "cat"] into two strings.
        array = np.asarray(labels, None if isinstance(labels, np.ndarray) else object)
    except ValueError:
        array = np.empty((0, 0))
    if array.ndim != 1:
        shape = f"an array of shape {array.shape}" if array.size else "something else"
        advice = "Give a flat list or array."
        raise DataError(f"{name} must hold one value for each image", shape, advice)
    # Dates in finer units would become integers.
    return array.astype(f"{array.dtype.kind}8[us]") if array.dtype.kind in "mM" else array


def _counts(labels) -> np.ndarray:
    return np.bincount(encode_labels(labels)[0])

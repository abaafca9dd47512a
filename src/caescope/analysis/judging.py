"""All that can be said about latents, in one call, and how far it can be trusted."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from caescope.analysis.clustering import Clusters
from caescope.analysis.confounders import judge_confounders
from caescope.analysis.group_level import GroupJudgement, judge_groups
from caescope.analysis.judging_clusters import (
    by_name,
    compare_clusterings,
    find_clusters,
    judge_against_labels,
    match_labels,
)
from caescope.analysis.latents import Audit, audit_latents, flatten_latents
from caescope.analysis.members import medoids
from caescope.analysis.neighbourhoods import judge_map
from caescope.analysis.probe import Probe, compare_probes
from caescope.analysis.projection import PCAMap, Projection, explained_variance_ratio, make_projection
from caescope.analysis.stability import judge_stability
from caescope.analysis.subject import JudgingOptions, Subject, can_judge, parse_judging_options

MAX_COMPONENTS = 50

Stage = Callable[[str, str], AbstractContextManager]


@dataclass(frozen=True)
class Judgement:
    """What `judge` found.

    Attributes
    ----------
    metrics : dict
        The part of metrics.json that follows from latents and what is known about the images.
    variables : dict
        As `caescope.analysis.latents.audit_latents` returns it.
    probes : dict or None
        As `caescope.analysis.probe.compare_probes` returns them; None without labels.
    map, pca_map : numpy.ndarray, shape (n_images, 2), float32, or None
        None where all latents are constant; so are the next three.
    projection : Projection or None
        What drew the map, and places other images on it.
    clusters : Clusters or None
        Fitted on the map of the train images.
    assigned : numpy.ndarray, shape (n_images,), int32, or None
        The cluster of every image; -1 is none.
    medoids : dict
        Cluster: the row of its most central train image.
    groups : GroupJudgement or None
        Slides or patients as wholes; None without groups or labels.
    """

    metrics: dict[str, Any]
    variables: Audit
    probes: dict[str, dict[str, Probe]] | None = None
    map: np.ndarray | None = None
    pca_map: np.ndarray | None = None
    projection: Projection | None = None
    clusters: Clusters | None = None
    assigned: np.ndarray | None = None
    medoids: Mapping[int, int] = field(default_factory=dict)
    groups: GroupJudgement | None = None


def judge(subject: Subject, options: JudgingOptions | None = None, stage: Stage | None = None) -> Judgement:
    """Judge latents by what their variables do, probes, maps, clusters, and whether these can be believed.

    Parameters
    ----------
    subject : Subject
    options : JudgingOptions, optional
    stage : callable, optional
        ``stage(name, detail)`` is a context that times and announces what happens inside.

    Returns
    -------
    Judgement
        Labels that `can_judge` refuses are left out, and so is everything but ``variables`` where all latents
        are constant.

    Raises
    ------
    DataError, OptionError
        If the latents or an option cannot be used.

    Examples
    --------
    >>> latents = np.random.default_rng(0).normal(size=(200, 3))
    >>> split = np.repeat(["train", "test"], [150, 50])
    >>> found = judge(Subject(latents, split), JudgingOptions(map="pca", clusters=4, stability=0))
    >>> found.metrics["latents"]["dead"], found.metrics["clusters"]["k"]
    (0, 4)
    """
    options = parse_judging_options(options or JudgingOptions())
    stage = stage or (lambda _name, _detail: nullcontext())
    subject = replace(subject, latents=flatten_latents(subject.latents))
    given = subject.labels
    found = Judgement({}, audit_latents(subject.latents))
    found.metrics["latents"] = _variables(found.variables)
    if found.variables["dead"] == found.variables["features"]:
        return found
    if can_judge(subject):
        with stage("probe", f"{subject.labelled('train').sum():,} latents and what there is to compare with"):
            found = _probe(found, subject, options)
    else:
        subject = replace(subject, labels=None)
    n_train = subject.train.sum()
    with stage("map", f"{options.map} of {n_train:,} latents, then {len(subject.split) - n_train:,} placed"):
        found = _draw_maps(found, subject, options)
    with stage("cluster", f"{options.cluster_method} on the map, beside others"):
        found = _cluster(found, subject, options)
    if options.stability:
        with stage("stability", f"{options.stability} other seeds, and resamples of the images"):
            found.metrics["stability"] = _stability(found, subject, options)
    if subject.columns or subject.groups is not None:
        with stage("confounders", ", ".join(subject.columns)):
            found.metrics["confounders"] = _confounders(found, subject, options)
    if subject.groups is not None and given is not None:
        with stage("slides", "each as a whole, left out in turn"):
            found = _judge_groups(found, replace(subject, labels=given), options)
    return found


def _variables(audit: Audit) -> dict[str, Any]:
    """Return what metrics.json says of the latents' variables."""
    return {
        "features": audit["features"],
        "dead": audit["dead"],
        "duplicates": [list(pair) for pair in audit["duplicates"]],
        "effective_rank": audit["effective_rank"],
        "spectrum": audit["spectrum"][:MAX_COMPONENTS].tolist(),
        "strongest_correlation": audit["strongest_correlation"],
    }


def _probe(found: Judgement, subject: Subject, options: JudgingOptions) -> Judgement:
    train, test = subject.labelled("train"), subject.labelled("test")
    labels = np.asarray(subject.labels)
    tables = {"latents": subject.latents, **subject.baselines}
    sets = {name: (table[train], table[test]) for name, table in tables.items()}
    groups = None if subject.groups is None else subject.groups[test]
    probes = compare_probes(sets, labels[train], labels[test], groups, options.seed)
    classes = len(probes["latents"]["knn"].classes)
    found.metrics["labels"] = {"classes": classes, "missing": int((~subject.known).sum())}
    found.metrics["probe"] = _probe_facts(probes["latents"]) | {
        "baselines": {
            name: {"features": tables[name].shape[1], **_scores(probes[name])} for name in subject.baselines
        }
    }
    return replace(found, probes=probes)


def _probe_facts(probes: Mapping[str, Probe]) -> dict[str, Any]:
    """Return scores and, for the regressions, what each of them took for what."""
    facts = _scores(probes)
    for name, probe in probes.items():
        if name == "knn":
            facts[name]["neighbours"] = 5
        else:
            facts[name] |= {
                "converged": probe.converged,
                "classes": probe.classes,
                "confusion": probe.confusion.tolist(),
                "report": probe.report,
            }
    return facts


def _scores(probes: Mapping[str, Probe]) -> dict[str, Any]:
    return {
        name: {
            "train": probe.train,
            "test": probe.test,
            "balanced": probe.balanced,
            "interval": {figure: list(ends) for figure, ends in probe.interval.items()},
        }
        for name, probe in probes.items()
    }


def _draw_maps(found: Judgement, subject: Subject, options: JudgingOptions) -> Judgement:
    """Lay the images down on a map and on that of PCA, and tell how well each keeps neighbours."""
    latents, train = subject.latents, subject.train
    projection = make_projection(options.map, options.perplexity, options.seed)
    points, pca_points = (
        _place(fitted, latents, train) for fitted in (projection, PCAMap(seed=options.seed))
    )
    facts = {"method": options.map, "fitted": projection.fitted_}
    if options.map == "tsne":
        facts["perplexity"] = projection.perplexity_  # pyright: ignore[reportAttributeAccessIssue]
    n_components = min(MAX_COMPONENTS, *latents[train].shape)
    ratio = explained_variance_ratio(latents[train], n_components).tolist()
    found.metrics["projection"] = {
        "pca": {"explained_variance_ratio": ratio, **_kept(latents, pca_points, train, options)},
        "map": facts | _kept(latents, points, train, options),
    }
    return replace(found, map=points, pca_map=pca_points, projection=projection)


def _place(projection, latents: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Fit a projection on the train images and place the others on it."""
    points = np.empty((len(latents), 2), np.float32)
    points[train] = projection.fit_transform(latents[train])
    if not train.all():
        points[~train] = projection.transform(latents[~train])
    return points


def _kept(latents: np.ndarray, points: np.ndarray, train: np.ndarray, options: JudgingOptions) -> dict:
    kept = judge_map(latents[train], points[train], seed=options.seed)
    return {name: kept[name] for name in ("trustworthiness", "preservation", "neighbours")}


def _cluster(found: Judgement, subject: Subject, options: JudgingOptions) -> Judgement:
    """Cluster the map of the train images, judge the clusters, and set other clusterings beside them."""
    assert found.map is not None
    train = subject.train
    spaces = {"map": found.map[train], "latents": subject.latents[train]}
    clusters, facts = find_clusters(spaces, options)
    found.metrics["clusters"] = facts
    found.metrics["clusterings"] = compare_clusterings(spaces, clusters, subject, options)
    if subject.labels is not None:
        facts |= judge_against_labels(clusters.labels, subject)
        found.metrics["matched"] = match_labels(spaces, subject, options.seed)
    assigned = clusters.predict(found.map)
    assigned[train] = clusters.labels
    rows = np.flatnonzero(train)
    central = {cluster: int(rows[row]) for cluster, row in medoids(spaces["map"], clusters).items()}
    return replace(found, clusters=clusters, assigned=assigned, medoids=central)


def map_and_cluster(latents: np.ndarray, options: JudgingOptions) -> np.ndarray:
    """Return the clusters of these latents' map, shape (n_images,), int32, as `judge` makes them."""
    points = make_projection(options.map, options.perplexity, options.seed).fit_transform(latents)
    spaces = {"map": points, "latents": latents}
    return find_clusters(spaces, options)[0].labels


def _stability(found: Judgement, subject: Subject, options: JudgingOptions) -> dict[str, Any]:
    """Return what metrics.json says of how far the clusters come back."""
    assert found.map is not None
    assert found.clusters is not None
    judged = judge_stability(
        found.map[subject.train],
        found.clusters.labels,
        options.cluster_method,
        max(found.clusters.k, 1),
        options.stability,
        seed=options.seed,
    )
    unstable = [str(cluster) for cluster in judged["unstable"]]
    return judged | {name: by_name(judged[name]) for name in ("jaccard", "halves")} | {"unstable": unstable}


def _judge_groups(found: Judgement, subject: Subject, options: JudgingOptions) -> Judgement:
    """Ask slides or patients as wholes, of all splits; few have labels enough to leave any of them aside."""
    judged = judge_groups(
        subject.latents, found.assigned, subject.groups, subject.labels, subject.baselines, options.seed
    )
    if judged.facts:
        found.metrics["slides"] = judged.facts
    return replace(found, groups=judged)


def _confounders(found: Judgement, subject: Subject, options: JudgingOptions) -> dict[str, Any]:
    """Return what metrics.json says of what else the latents and clusters follow."""
    assert found.clusters is not None
    train = subject.train
    columns = {name: values[train] for name, values in subject.columns.items()}
    labels = None if subject.labels is None else subject.labels[train]
    return judge_confounders(
        subject.latents[train], columns, found.clusters.labels, labels, seed=options.seed
    )

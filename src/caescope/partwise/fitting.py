"""What is fitted on the sample's train images, to be applied to everything."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from caescope.analysis.clustering import Clusters, kmeans
from caescope.analysis.density import grid_over
from caescope.analysis.judging import Judgement
from caescope.analysis.judging_clusters import count_distinct
from caescope.analysis.probe import FittedProbe, fit_logistic_ovr
from caescope.auditing import group_column
from caescope.data import leaking_groups
from caescope.partwise.assigning import MAIN, Fitted
from caescope.partwise.sampling import Sample
from caescope.partwise.splitting import SplitRule, group_units
from caescope.table import LatentTable

# Clusterings beside the main one: of the latents, and two with as many clusters as labels
LATENTS, MATCHED = "latents", {"map": "matched map", "latents": "matched latents"}


@dataclass(frozen=True, eq=False)
class Split:
    """How a sample's images came to train and test, and all others will."""

    rule: SplitRule
    probe_rule: SplitRule
    units: np.ndarray

    @property
    def leaks(self) -> bool:
        """Whether the probes have a split of their own."""
        return self.rule is not self.probe_rule


def split_sample(sample: Sample, group: str | None, seed: int) -> tuple[LatentTable, Split]:
    """Return the sample's table with its split, and the rule behind it.

    Raises
    ------
    DataError, OptionError
        If the group is no column, is missing for an image, or there are too few images or groups.
    """
    table = sample.table
    groups = group_column(table.columns, group)
    units = sample.units if groups is None else group_units(seed, groups)
    rule = SplitRule(seed, group).fit(table.split, units)
    split = rule.assign(table.split, units)
    leaking = groups is not None and leaking_groups(split, groups)
    probe_rule = SplitRule(seed, group, keeps=False).fit(None, units) if leaking else rule
    return replace(table, split=split), Split(rule, probe_rule, units)


def fit_sample(
    sample: Sample, table: LatentTable, judgement: Judgement, split: Split, options: Any
) -> Fitted | None:
    """Return what a judged sample teaches, or None where its latents are constant.

    Parameters
    ----------
    sample : Sample
    table : LatentTable
        The sample's, with its split.
    judgement : Judgement
    split : Split
    options : caescope.run_options.RunOptions
    """
    if judgement.map is None:
        return None
    assert judgement.clusters is not None
    assert judgement.assigned is not None
    assert judgement.projection is not None
    train = table.split == "train"
    clusterings = {MAIN: ("map", judgement.clusters)}
    points, latents = judgement.map[train], table.latents[train]
    k = min(max(judgement.clusters.k, 1), count_distinct(latents))
    clusterings[LATENTS] = ("latents", kmeans(latents, k, options.seed))
    probe = None
    if judgement.probes is not None:
        probe = _probe(table, split, options.seed)
        clusterings |= _matched(table, train, points, options.seed)
    return Fitted(
        sample.rows,
        judgement.map,
        judgement.assigned,
        judgement.projection,
        clusterings,
        grid_over(judgement.map),
        split.rule,
        split.probe_rule,
        split.rule.group,
        probe,
    )


def _probe(table: LatentTable, split: Split, seed: int) -> FittedProbe:
    rows = (split.probe_rule.assign(table.split, split.units) == "train") & _known(table)
    return fit_logistic_ovr(table.latents[rows], np.asarray(table.labels)[rows], seed=seed)


def _matched(
    table: LatentTable, train: np.ndarray, points: np.ndarray, seed: int
) -> dict[str, tuple[str, Clusters]]:
    """Return clusterings with as many clusters as labels, as `caescope.analysis.judging` makes them."""
    known = _known(table)[train]
    k = len(np.unique(np.asarray(table.labels)[train & _known(table)]))
    spaces = {"map": points[known], "latents": table.latents[train][known]}
    return {
        MATCHED[name]: (name, kmeans(values, k, seed))
        for name, values in spaces.items()
        if k and count_distinct(values) >= k
    }


def _known(table: LatentTable) -> np.ndarray:
    assert table.labels is not None
    return ~np.ma.getmaskarray(table.labels)

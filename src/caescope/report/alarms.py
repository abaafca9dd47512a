"""What may be wrong with a run, the gravest first: one sentence each."""

from collections.abc import Iterator, Mapping

from caescope.report.formatting import counted, listed
from caescope.report.rows import BASELINES, PROBES, best_probe, chance_of

MANY = 0.25  # of the clusters: where a map of pure noise is clustered, some come back by their place alone
NEXT_TO_NOTHING = 0.05  # of the way from chance to perfect


def warnings_of(metrics: Mapping) -> Iterator[str]:
    """Yield each warning that metrics.json gives reason for, the gravest first.

    >>> next(warnings_of({"confounders": {"followed": ["slide"]}}))
    'Warning: the clusters follow slide, so they may show how images were made rather than what is in them.'
    """
    for find in (
        *(_constant, _confounded, _leaking, _noise, _outdone, _fleeting, _invented),
        *(_unfinished, _seen_before),
    ):
        if text := find(metrics):
            yield f"Warning: {text}."


def knows_labels(metrics: Mapping) -> bool | None:
    """Tell whether any probe finds labels better than chance; None where nobody can tell.

    Every label counts the same, or a rare one would not matter; and what is beyond chance, but next to
    nothing, does not count.
    """
    probes = metrics.get("probe", {})
    chance = chance_of(metrics).get("balanced")
    found = [probes[name] for name in PROBES if "balanced" in probes.get(name, {}).get("interval", {})]
    if chance is None or not found:
        return None
    needed = chance + NEXT_TO_NOTHING * (1 - chance)
    return any(
        probe["interval"]["balanced"][0] > chance and probe.get("balanced", 0) >= needed for probe in found
    )


def _constant(metrics: Mapping) -> str | None:
    latents = metrics.get("latents", {})
    if latents.get("features") and latents.get("dead") == latents["features"]:
        return "all of these numbers are the same for every image, so they say nothing about any of them"
    return None


def _confounded(metrics: Mapping) -> str | None:
    confounders = metrics.get("confounders", {})
    followed = confounders.get("followed")
    if not followed:
        return None
    rather = " rather than the label" if "agreement" in confounders.get("label", {}) else ""
    return (
        f"the clusters follow {listed(followed)}{rather}, so they may show how images were made rather than "
        "what is in them"
    )


def _leaking(metrics: Mapping) -> str | None:
    split = metrics.get("probe", {}).get("split", {})
    if not split.get("leaking") or split.get("kind") == "grouped":
        return None
    return (
        f"images of {_groups(split)} are both among those learnt from and among those tested, so the figures "
        "for labels are probably too good to be true"
    )


def _seen_before(metrics: Mapping) -> str | None:
    """Return what leaks where only the probes were given a split that keeps groups together."""
    split = metrics.get("probe", {}).get("split", {})
    if not split.get("leaking") or split.get("kind") != "grouped":
        return None
    return (
        f"images of {_groups(split)} are both among those that the network learnt from and among those that "
        "it was tested on, so its rebuilding is probably too good to be true, while the figures for labels "
        "are not concerned"
    )


def _groups(split: Mapping) -> str:
    groups = counted(split["leaking"], "group")
    return f"{groups} ({split['group']})" if "group" in split else groups


def _noise(metrics: Mapping) -> str | None:
    if knows_labels(metrics) is not False:
        return None
    start, unstable = "these latents say nothing about the labels", _share_unstable(metrics)
    if unstable < MANY:
        return f"{start}, whatever else their clusters may show"
    many = "" if unstable > 0.5 else "many of "
    return f"{start} and {many}their clusters do not come back, as with pure noise"


def _outdone(metrics: Mapping) -> str | None:
    """Return what tells labels better than the latents do, for certain."""
    best = best_probe(metrics.get("probe", {}))
    if best is None or "test" not in best.get("interval", {}):
        return None
    rivals = {
        name: rival["interval"]["test"][0]
        for name, probes in metrics["probe"].get("baselines", {}).items()
        if (rival := best_probe(probes)) and "test" in rival.get("interval", {})
    }
    better = [name for name, low in rivals.items() if low > best["interval"]["test"][1]]
    if not better:
        return None
    names = listed(BASELINES.get(name) or name for name in better)
    return f"the labels are told apart better by {names} than by these latents, which are not worth using yet"


def _unfinished(metrics: Mapping) -> str | None:
    error = metrics.get("reconstruction", {}).get("test", {}).get("mse")
    floor = metrics.get("pca_floor", {}).get("test", {}).get("mse")
    if error is None or floor is None or error <= floor:
        return None
    return "plain PCA rebuilds the images better than the network does, so train it longer or make it larger"


def _fleeting(metrics: Mapping) -> str | None:
    if _share_unstable(metrics) <= 0.5:
        return None
    return "most of the clusters do not come back when this is done again, so do not build on them"


def _share_unstable(metrics: Mapping) -> float:
    return len(metrics.get("stability", {}).get("unstable", [])) / (metrics.get("clusters", {}).get("k") or 1)


def _invented(metrics: Mapping) -> str | None:
    found = metrics.get("clusters", {})
    if not found.get("k") or len(found.get("invented", [])) <= found["k"] / 2:
        return None
    return "most of the clusters exist on the map only, so do not take them for groups of images"

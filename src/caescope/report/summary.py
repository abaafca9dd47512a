"""The report in five sentences: what was done, rebuilding, labels, clusters, and the gravest warning."""

from collections.abc import Iterator, Mapping
from math import sqrt
from typing import Any, NamedTuple

from caescope.report.alarms import knows_labels, warnings_of
from caescope.report.formatting import between, counted, listed, written
from caescope.report.rows import BASELINES, best_probe, chance_of


class Rival(NamedTuple):
    """What a figure is compared with: a name, its value, and the interval in which the value is uncertain."""

    name: str
    value: float
    interval: tuple[float, float]


def summarise(metrics: Mapping[str, Any], facts: Mapping[str, Any] | None = None) -> list[str]:
    """Say in five sentences what a run found, for readers who know neither its methods nor its words.

    Parameters
    ----------
    metrics : mapping
        metrics.json; every key may be absent.
    facts : mapping, optional
        run.yaml, for the number of images.

    Returns
    -------
    list of str
        What was done; how well images are rebuilt; what the latents know about the labels or, without labels,
        how many of them are used; what the clusters are worth; and the warning that matters most.

    Examples
    --------
    >>> summarise({"latents": {"features": 20, "dead": 3}}, {"n_images": {"train": 80, "test": 20}})[0]
    'Each of 100 images is described by 20 numbers, its latents, which are judged here.'
    """
    facts = facts or {}
    return [
        _what_was_done(metrics, facts.get("n_images", {}), facts.get("sample", {})),
        _rebuilding(metrics),
        _knowledge(metrics) or _of_groups(metrics) or _usage(metrics.get("latents", {})),
        _clusters(metrics),
        next(warnings_of(metrics), None) or _nothing_alarming(metrics),
    ]


def _what_was_done(metrics: Mapping, n_images: Mapping[str, int], sample: Mapping[str, int]) -> str:
    features = metrics.get("latents", {}).get("features")
    numbers = "a few numbers" if features is None else counted(features, "number")
    total = sum(n_images.values())
    if "reconstruction" not in metrics:
        each = f"Each of {counted(total, 'image')}" if total else "Each image"
        if total and sample.get("of", total) > total:
            each += f", drawn at random from {written(sample['of'], ',.0f')},"
        return f"{each} is described by {numbers}, its latents, which are judged here."
    learnt = f"{counted(n_images.get('train', 0), 'image')} out of {total:,.0f}" if total else "images"
    return (
        f"A neural network taught itself on {learnt}, without seeing any label, to describe each image by "
        f"{numbers}, its latents, and to rebuild the image from them."
    )


def _rebuilding(metrics: Mapping) -> str:
    found = metrics.get("reconstruction", {})
    split = next((split for split in ("test", "validation", "train") if "mse" in found.get(split, {})), None)
    if split is None:
        return "How well the images could be rebuilt from these numbers was not measured."
    error = found[split]["mse"]
    interval = found[split].get("interval", {}).get("mse", (error, error))
    whose = "the images it learnt from" if split == "train" else "images it did not learn from"
    sentence = (
        f"When it rebuilds {whose}, a pixel is typically off by {_off(error)} of the way from black to white"
    )
    floor = metrics.get("pca_floor", {}).get(split, {}).get("mse")
    if floor is None:
        return sentence + "."
    features = metrics.get("latents", {}).get("features")
    components = metrics["pca_floor"].get("components", features)
    numbers = "as many numbers" if components == features else counted(components, "number")
    # A small error is good, so the sides are turned round
    verdict = _verdict((-interval[1], -interval[0]), (-floor, -floor))
    return f"{sentence}, which is {verdict} plain PCA with {numbers} ({_off(floor)})."


def _off(mse: float) -> str:
    return written(sqrt(max(mse, 0)), ".1%")


def _knowledge(metrics: Mapping) -> str | None:
    """Return what the best probe reads from the latents, beside the best from other variables."""
    best = best_probe(metrics.get("probe", {}))
    if best is None:
        return None
    interval = best.get("interval", {}).get("test")
    chance = chance_of(metrics).get("accuracy")
    rivals = [*_baselines(metrics)]
    if chance is not None:
        rivals.append(Rival("always guessing the commonest label", chance, (chance, chance)))
    sentence = (
        "A simple model that sees only these numbers names the right label for "
        f"{written(best['test'], '.1%')} of the images it did not learn from"
    )
    if interval is None:
        beside = listed(f"{written(rival.value, '.1%')} for {rival.name}" for rival in rivals)
        return f"{sentence}{f', beside {beside}' if rivals else ''}."
    sentence += f" (95% interval {between(interval, '.1%')})"
    extra = ""
    if chance is not None and interval[0] <= chance and knows_labels(metrics):
        extra = ", although it tells the rarer labels apart better than chance"
    return f"{sentence}{', which is ' + _compared(interval, rivals) if rivals else ''}{extra}."


def _of_groups(metrics: Mapping) -> str | None:
    """Return what whole slides or patients tell of their labels, where single images were not asked."""
    found = metrics.get("slides", {})
    best, group = found.get("latents", {}), found.get("group", "group")
    if "accuracy" not in best or "groups" not in found:
        return None
    interval = best.get("interval", {}).get("accuracy")
    sure = f" (95% interval {between(interval, '.1%')})" if interval else ""
    lucky = found.get("shuffled", {}).get("p", 0) > 0.05
    return (
        f"A simple model that sees only the mean of these numbers over each {group} names the right label "
        f"for {written(best['accuracy'], '.1%')} of {counted(found['groups'], str(group))} that it did not "
        f"learn from{sure}{', which may be luck' if lucky else ''}."
    )


def _baselines(metrics: Mapping) -> Iterator[Rival]:
    for name, probes in metrics.get("probe", {}).get("baselines", {}).items():
        if best := best_probe(probes):
            value = best["test"]
            interval = best.get("interval", {}).get("test", (value, value))
            yield Rival(BASELINES.get(name) or str(name), value, interval)


def _verdict(ours, theirs) -> str:
    """Return how two intervals compare: only where they lie apart is one better."""
    if ours[0] > theirs[1]:
        return "better than"
    return "worse than" if ours[1] < theirs[0] else "no better than"


def _compared(interval, rivals: list[Rival]) -> str:
    groups = {"better than": [], "no better than": [], "worse than": []}
    for rival in rivals:
        groups[_verdict(interval, rival.interval)].append(f"{rival.name} ({written(rival.value, '.1%')})")
    parts = [f"{verdict} {listed(names)}" for verdict, names in groups.items() if names]
    return listed(parts, "but" if groups["better than"] else "and")


def _usage(latents: Mapping) -> str:
    start = "There were no labels to compare with"
    features, dead = latents.get("features"), latents.get("dead")
    if features is None or dead is None:
        return f"{start}."
    alive, copies = features - dead, len({second for _, second in latents.get("duplicates", [])})
    if not alive:
        return f"{start}, and none of the {counted(features, 'number')} varies from image to image."
    vary = f"{'all' if not dead else written(alive, ',.0f') + ' of the'} {counted(features, 'number')}"
    sentence = f"{start}, but {vary} {'varies' if alive == 1 else 'vary'} from image to image"
    if copies:
        sentence += (
            f" ({written(copies, ',.0f')} of them only {'repeats' if copies == 1 else 'repeat'} another)"
        )
    if "effective_rank" in latents:
        sentence += (
            f" and together count for about {written(latents['effective_rank'], '.1f')} independent ones"
        )
    return sentence + "."


def _clusters(metrics: Mapping) -> str:
    found = metrics.get("clusters", {})
    k = found.get("k")
    if not k:
        return "No clusters of similar images were found." if k == 0 else "No clusters were looked for."
    why = "as many as stand apart best" if found.get("chosen") else "as many as were asked for"
    if found.get("method") == "hdbscan":
        why = "as many as the method saw"
    facts = [*_purity(metrics), _coming_back(metrics), *_map_only(metrics)]
    return (
        f"Laid out on a map by likeness, the images were divided into {counted(k, 'cluster')}, {why}: "
        f"{listed(facts)}."
    )


def _purity(metrics: Mapping) -> Iterator[str]:
    purity = metrics["clusters"].get("purity")
    if purity is not None:
        chance = chance_of(metrics).get("accuracy")
        random = "" if chance is None else f" (about {written(chance, '.0%')} would by chance)"
        yield f"{written(purity, '.1%')} of the images carry the commonest label of their cluster{random}"


def _coming_back(metrics: Mapping) -> str:
    stability, k = metrics.get("stability", {}), metrics["clusters"]["k"]
    if "unstable" not in stability:
        return "whether they come back when this is done again was not tested"
    lost = len(stability["unstable"])
    if not lost:
        return "every cluster comes back when this is done again with other images"
    stay = "no cluster comes" if lost >= k else f"{k - lost:,.0f} of {k:,.0f} come"
    return f"{stay} back when this is done again with other images"


def _map_only(metrics: Mapping) -> Iterator[str]:
    if "invented" in metrics["clusters"]:
        n = len(metrics["clusters"]["invented"])
        yield f"{n or 'none'} {'exists' if n == 1 else 'exist'} on the map only"


def _nothing_alarming(metrics: Mapping) -> str:
    open_questions = [
        *(["no labels"] if "probe" not in metrics and _of_groups(metrics) is None else []),
        *(["no column such as slide or scanner"] if not _categories(metrics) else []),
    ]
    missing = f"there {'were' if 'no labels' in open_questions else 'was'} {listed(open_questions, 'and')}"
    ending = (
        "no figure here can tell whether what the numbers follow is what matters to you, so look at the "
        "images of each cluster before you believe in it."
    )
    tested = f"{missing} to check against, and " if open_questions else ""
    return f"Nothing alarming was found, but {tested}{ending}"


def _categories(metrics: Mapping) -> list[str]:
    columns = metrics.get("confounders", {}).get("columns", {})
    return [name for name, column in columns.items() if column.get("kind") == "category"]

"""A sample of a collection in parts is judged and everything assigned: sums are those of all at once."""

import json
import shutil
import tracemalloc

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from caescope import counts, isolation, metrics
from caescope.analysis.agreement import judge_clusters, judge_counts, match_counts
from caescope.analysis.clustering import kmeans
from caescope.analysis.density import Grid, grid_over
from caescope.analysis.intervals import accuracy_interval, counted_interval
from caescope.analysis.label_counts import LabelCounts, count_labels
from caescope.analysis.latents import audit_latents
from caescope.analysis.moments import moments_of
from caescope.analysis.pca import PCAMap
from caescope.analysis.probe import fit_logistic_ovr, logistic_ovr
from caescope.analysis.tsne import TSNEMap
from caescope.analyzing_parts import EVERYTHING
from caescope.cli.commands import main
from caescope.errors import DataError, FileFormatError, OptionError
from caescope.explorer.collection import open_collection
from caescope.parts import part_name
from caescope.partwise.assigning import MAIN, Assigner, Fitted
from caescope.partwise.reading import PartReader
from caescope.partwise.sampling import draw_rows, draw_sample
from caescope.partwise.splitting import SplitRule, group_units, row_units
from caescope.partwise.totals import pack, unpack
from caescope.pipeline import analyze
from caescope.plots import plot_cluster_shares, plot_density
from caescope.storage import find_place
from caescope.table import LatentTable, read_latents
from parted import FEATURES, write_whole

pytestmark = pytest.mark.usefixtures("undrawn")

OPTIONS = {"map": "pca", "clusters": 5, "stability": 0, "verbose": 0}
SAMPLED = 400


@pytest.fixture(scope="module", autouse=True)
def read_here():
    """Parquet is read in this process: one of its own for each small part takes longer than all the rest."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(isolation, "can_isolate", lambda: False)
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return write_whole(tmp_path_factory.mktemp("whole") / "z.parquet")


@pytest.fixture(scope="module")
def run(whole, tmp_path_factory):
    return analyze(whole.folder, tmp_path_factory.mktemp("run") / "run", sample=SAMPLED, **OPTIONS)


@pytest.fixture(scope="module")
def sample(run):
    return read_latents(run.path / "latents.parquet")


@pytest.fixture(scope="module")
def everything(run):
    return read_latents(run.path / EVERYTHING, may_lack_latents=True)


@pytest.fixture
def copied(whole, tmp_path):
    """The collection in a folder of this test's own, to be spoiled."""
    return shutil.copytree(whole.folder, tmp_path / "z.parquet")


def contents(folder):
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def figures(run):
    return run.metrics["everything"]


# What is written


def test_everything_has_each_image_once_in_order_without_its_latents(whole, everything):
    assert everything.ids.tolist() == [f"image {i:05d}" for i in range(len(whole.latents))]
    assert everything.latents.shape == (len(whole.latents), 0)
    assert np.array_equal(everything.errors, whole.errors)
    assert everything.labels.tolist() == whole.labels.tolist()
    assert np.isfinite(everything.map).all()


def test_sampled_images_stay_where_the_sample_has_them(sample, everything, whole):
    rows = [int(name.removeprefix("image ")) for name in sample.ids]
    assert len(rows) == SAMPLED
    assert np.array_equal(sample.latents, whole.latents[rows])
    assert np.array_equal(sample.map, everything.map[rows])
    assert np.array_equal(sample.clusters, everything.clusters[rows])
    assert np.array_equal(sample.split, everything.split[rows])


def test_others_lie_where_the_samples_map_places_them_in_the_nearest_cluster(sample, everything, whole):
    train = sample.split == "train"
    drawn = PCAMap()
    points = drawn.fit_transform(sample.latents[train])
    clusters = kmeans(points, 5)
    assert np.allclose(everything.map, drawn.transform(whole.latents), atol=1e-5)
    assert np.array_equal(everything.clusters, clusters.predict(everything.map))


def test_the_run_says_what_was_sampled(run):
    assert run.facts["sample"] == {"images": SAMPLED, "of": 2000, "parts": 5}
    assert sum(run.facts["n_images"].values()) == SAMPLED
    words = f"a random sample of {SAMPLED} of 2,000 images"
    assert {facts["sample"] for facts in run.metrics["protocol"].values()} == {words}
    protocol = figures(run)["protocol"]
    assert "train images of the sample" in protocol["clusters"]["fitted_on"]
    assert "for clusters.latents the latents of the same, by KMeans" in protocol["clusters"]["fitted_on"]
    assert protocol["clusters"]["measured_on"] == "all 2,000 images, those fitted on among them"
    assert protocol["probe"]["kind"] == "inductive"
    assert not (run.path / "checkpoint").exists()


def test_the_report_has_a_section_and_the_explorer_opens_the_sample(run):
    page = run.report.read_text()
    assert '<section id="everything"' in page
    assert "A random sample of 400 of them" in page
    assert "400 images, drawn at random from 2,000" in page
    for name in ("everything_map", "everything_clusters", "everything_labels"):
        assert (run.path / "figures" / f"{name}.png").is_file()
    assert len(open_collection(run.path)) == SAMPLED


# Sums and counts are those of all images at once


def test_pca_is_that_of_all_latents(run, whole):
    table = whole.latents.astype(np.float64)
    variances = np.linalg.svd(table - table.mean(axis=0), compute_uv=False) ** 2
    ratio = figures(run)["projection"]["pca"]["explained_variance_ratio"]
    assert ratio == pytest.approx(variances / variances.sum(), rel=1e-12)
    assert figures(run)["latents"] == {"features": FEATURES, "dead": 0}


def test_clusters_are_judged_by_all_labelled_images(run, whole, everything):
    known = ~whole.labels.mask
    judged = judge_clusters(everything.clusters[known], whole.labels[known])
    found = figures(run)["clusters"]
    gini = metrics.cluster_gini(everything.clusters[known], whole.labels[known])
    assert found["gini"] == {str(cluster): value for cluster, value in gini.items()}
    for name in ("gini_mean", "entropy_mean", "purity"):
        assert found[name] == judged[name]
    assert list(found["sizes"].values()) == np.bincount(everything.clusters).tolist()
    assert figures(run)["labels"]["missing"] == (~known).sum()
    assert figures(run)["labels"]["counts"] == {
        name: int((whole.labels[known] == name).sum()) for name in ("ape", "bee", "cat", "dog")
    }


def test_clusterings_beside_the_map_are_fitted_on_the_sample(run, whole, sample, everything):
    known, rows = ~whole.labels.mask, sample.split == "train"
    labels = np.asarray(whole.labels)[known]
    latents = kmeans(sample.latents[rows], 5).predict(whole.latents)
    assert (
        figures(run)["clusters"]["latents"]["gini_mean"]
        == judge_clusters(latents[known], labels)["gini_mean"]
    )
    rows &= ~np.ma.getmaskarray(sample.labels)
    for found, points, every in (
        (figures(run)["matched"], sample.map, everything.map),
        (figures(run)["matched"]["latents"], sample.latents, whole.latents),
    ):
        clusters = kmeans(points[rows], 4).predict(every)[known]
        assert found["accuracy"] == metrics.matched_accuracy(clusters, labels)
        assert found["nmi"] == metrics.nmi(clusters, labels)
        assert found["ari"] == metrics.ari(clusters, labels)
    assert figures(run)["matched"]["k"] == 4


def test_the_probe_of_the_sample_is_asked_about_all_test_images(run, whole, sample, everything):
    known = ~whole.labels.mask
    test = (everything.split == "test") & known
    train = (sample.split == "train") & ~np.ma.getmaskarray(sample.labels)
    asked = logistic_ovr(sample.latents[train], sample.labels[train], whole.latents[test], whole.labels[test])
    found = figures(run)["probe"]["logistic_ovr"]
    assert found["images"] == test.sum() > 150
    assert (found["test"], found["balanced"]) == (asked.test, asked.balanced)
    assert found["confusion"] == asked.confusion.tolist()
    assert found["interval"]["test"] == list(asked.interval["test"])


def test_errors_are_means_over_all_images_of_a_split(run, whole, everything):
    for name, found in figures(run)["reconstruction"].items():
        own = whole.errors[everything.split == name].astype(np.float64)
        assert found["mse"] == pytest.approx(own.mean(), rel=1e-12)
        assert figures(run)["splits"][name] == len(own)


def test_the_command_judges_parts(tmp_path):
    whole = write_whole(tmp_path / "z.parquet", (60, 60))
    asked = ["--sample", "50", "--map", "pca", "--clusters", "4", "--stability", "0", "--json", "--quiet"]
    done = CliRunner().invoke(main, ["analyze", str(whole.folder), *asked])
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["metrics"]["everything"]["images"] == 120
    refused = CliRunner().invoke(main, ["analyze", str(whole.folder), *asked])
    assert refused.exit_code == 1
    assert "z-analysis, which exists" in refused.stderr


# Whose splits, labels and groups


def test_without_labels_what_needs_them_is_absent(tmp_path):
    whole = write_whole(tmp_path / "z.parquet", (60, 60), labels=False)
    found = figures(analyze(whole.folder, sample=50, **OPTIONS))
    assert not {"labels", "matched", "probe"} & set(found)
    assert set(found["clusters"]) == {"k", "sizes", "none"}
    assert "labels" not in read_latents(tmp_path / "z-analysis" / EVERYTHING, may_lack_latents=True).columns


def test_a_sample_larger_than_the_collection_is_all_of_it(tmp_path, capsys):
    whole = write_whole(tmp_path / "z.parquet", (60, 61))
    run = analyze(whole.folder, sample=1000, **OPTIONS | {"verbose": 1})
    assert "there are no more than 121 images, so all of them are judged" in capsys.readouterr().err
    sample = read_latents(run.path / "latents.parquet")
    everything = read_latents(run.path / EVERYTHING, may_lack_latents=True)
    assert np.array_equal(sample.map, everything.map)
    assert figures(run)["probe"]["logistic_ovr"]["test"] == run.metrics["probe"]["logistic_ovr"]["test"]
    assert "All of them were judged" in run.report.read_text()


def test_a_split_of_the_data_is_kept(tmp_path):
    split = np.random.default_rng(1).choice(["train", "validation", "test"], 200, p=[0.6, 0.2, 0.2])
    whole = write_whole(tmp_path / "z.parquet", (100, 100), split=split)
    run = analyze(whole.folder, sample=120, **OPTIONS)
    everything = read_latents(run.path / EVERYTHING, may_lack_latents=True)
    assert everything.split.tolist() == split.tolist()
    assert run.facts["split"] == "given"


def test_a_group_stays_on_one_side_and_is_what_intervals_count(tmp_path):
    whole = write_whole(tmp_path / "z.parquet", (300, 300, 300), slides=20)
    run = analyze(whole.folder, sample=300, group="slide", **OPTIONS)
    everything = read_latents(run.path / EVERYTHING, may_lack_latents=True)
    sides = {name: set(everything.split[whole.slides == name]) for name in np.unique(whole.slides)}
    assert {len(side) for side in sides.values()} == {1}
    assert set.union(*sides.values()) == {"train", "validation", "test"}
    assert everything.columns["slide"].tolist() == whole.slides.tolist()
    assert run.metrics["probe"]["split"]["leaking"] == 0
    found = figures(run)["probe"]["logistic_ovr"]
    assert len([name for name, side in sides.items() if side == {"test"}]) == 2
    assert found["interval"]["test"][0] <= found["test"] <= found["interval"]["test"][1]


def test_where_a_split_divides_groups_the_probe_has_one_that_does_not(tmp_path):
    split = np.random.default_rng(1).choice(["train", "validation", "test"], 400, p=[0.6, 0.2, 0.2])
    whole = write_whole(tmp_path / "z.parquet", (200, 200), split=split, slides=12)
    run = analyze(whole.folder, sample=200, group="slide", **OPTIONS)
    everything = read_latents(run.path / EVERYTHING, may_lack_latents=True)
    assert everything.split.tolist() == split.tolist()
    units = {name: group_units(0, [name])[0] for name in np.unique(whole.slides)}
    lowest = min(units, key=lambda name: units[name])  # a tenth of twelve
    known = ~whole.labels.mask
    assert figures(run)["probe"]["logistic_ovr"]["images"] == ((whole.slides == lowest) & known).sum()


def test_another_column_can_be_the_labels(tmp_path):
    whole = write_whole(tmp_path / "z.parquet", (200, 200), slides=3)
    run = analyze(whole.folder, sample=200, labels="slide", **OPTIONS)
    assert list(figures(run)["labels"]["counts"]) == ["slide 0", "slide 1", "slide 2"]


def test_density_based_clusters_may_leave_images_out(tmp_path):
    whole = write_whole(tmp_path / "z.parquet", (200, 200), far=12)
    run = analyze(whole.folder, sample=300, **OPTIONS | {"cluster_method": "hdbscan"})
    everything = read_latents(run.path / EVERYTHING, may_lack_latents=True)
    found = figures(run)["clusters"]
    assert found["none"] == (everything.clusters < 0).sum() > 0
    assert sum(found["sizes"].values()) + found["none"] == 400


def test_constant_latents_are_said_to_be_so_and_nothing_is_assigned(tmp_path, capsys):
    (tmp_path / "z.parquet").mkdir()
    ids = np.arange(50).astype(str)
    LatentTable(ids, np.ones((50, 2), np.float32)).write(tmp_path / "z.parquet" / part_name(0))
    (tmp_path / "z.parquet" / "_SUCCESS").write_text(
        json.dumps({"format_version": 1, "images": 50, "parts": [[part_name(0), 50]]})
    )
    run = analyze(tmp_path / "z.parquet", **OPTIONS | {"verbose": 1})
    assert "every one is constant" in capsys.readouterr().err
    assert "everything" not in run.metrics
    assert not (run.path / EVERYTHING).exists()


# Going on


def test_an_interrupted_analysis_goes_on_part_by_part(whole, run, tmp_path, monkeypatch, capsys):
    done, assign = [], Assigner.__call__

    def interrupted(self, i):
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(i)
        return assign(self, i)

    out = tmp_path / "run"
    monkeypatch.setattr(Assigner, "__call__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        analyze(whole.folder, out, sample=SAMPLED, **OPTIONS)
    with pytest.raises(OptionError, match=r"begun and not finished.*--resume"):
        analyze(whole.folder, out, sample=SAMPLED, **OPTIONS)
    done.clear()
    again = analyze(whole.folder, out, sample=SAMPLED, resume=True, **OPTIONS | {"verbose": 1})
    assert done == [3, 4]
    assert "goes on after 3 of 5 parts" in capsys.readouterr().err
    assert figures(again) == figures(run)
    assert contents(out / EVERYTHING) == contents(run.path / EVERYTHING)
    whole_again = analyze(whole.folder, out, sample=SAMPLED, resume=True, **OPTIONS)
    assert whole_again.facts == again.facts  # what is whole stays


def test_another_job_does_not_go_on_with_it(whole, tmp_path, monkeypatch):
    done, assign = [], Assigner.__call__

    def interrupted(self, i):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(i)
        return assign(self, i)

    monkeypatch.setattr(Assigner, "__call__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        analyze(whole.folder, tmp_path / "run", sample=SAMPLED, **OPTIONS)
    monkeypatch.setattr(Assigner, "__call__", assign)
    other = analyze(whole.folder, tmp_path / "run", sample=SAMPLED, resume=True, **OPTIONS | {"clusters": 3})
    assert sum(figures(other)["clusters"]["sizes"].values()) == 2000


def test_judging_the_sample_anew_leaves_everything_behind(run, tmp_path):
    anew = analyze(run.path, tmp_path / "anew", clusters=3, verbose=0)
    assert "everything" not in anew.metrics
    assert not (anew.path / EVERYTHING).exists()
    assert not list((anew.path / "figures").glob("everything*"))
    assert "400 of 2,000" in anew.metrics["protocol"]["clusters"]["sample"]


# What cannot be used


def spoil(folder, i, **changes):
    """Write one of the parts anew, changed."""
    file = sorted(folder.glob("part-*"))[i]
    table = read_latents(file)
    changed = {name: change(getattr(table, name)) for name, change in changes.items()}
    kept = {name: getattr(table, name) for name in ("ids", "latents", "labels", "errors")}
    LatentTable(**kept | changed).write(file)


def not_a_number(values):
    values = values.copy()
    values[5] = np.nan
    return values


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"latents": not_a_number}, DataError, r"for 1 of 500 images, in .*part-000000001037"),
        ({"latents": lambda z: z[:, :3]}, DataError, r"6 latents\. Received 3 latents in .*1037"),
        ({"errors": lambda _: None}, DataError, r"errors\. Received the columns labels in .*1037"),
        ({"labels": lambda y: np.arange(len(y))}, DataError, r"texts\. Received labels that are whole"),
        ({"latents": lambda z: z[:-1], "ids": lambda x: x[:-1], "labels": lambda y: y[:-1],
          "errors": lambda e: e[:-1]}, FileFormatError, r"500 images .*Received 499"),
    ],
)  # fmt: skip
def test_a_part_that_cannot_be_used_is_named_and_nothing_is_written(copied, changes, error, words):
    spoil(copied, 3, **changes)
    with pytest.raises(error, match=words):
        analyze(copied, sample=100, **OPTIONS)
    assert [path.name for path in copied.parent.iterdir()] == ["z.parquet"]


def test_errors_that_are_no_numbers_are_named_and_the_rest_is_gone_on_with(copied):
    spoil(copied, 3, errors=not_a_number)
    with pytest.raises(DataError, match=r"NaN or infinity for 1 images, in .*part-000000001037"):
        analyze(copied, sample=100, **OPTIONS)


def test_an_unfinished_folder_is_refused(copied):
    (copied / "_SUCCESS").unlink()
    with pytest.raises(FileFormatError, match="an unfinished one, without _SUCCESS"):
        analyze(copied, **OPTIONS)


def test_a_part_that_changes_meanwhile_is_refused(copied, monkeypatch):
    from caescope import analyzing_parts

    fit = analyzing_parts.fit_sample

    def meanwhile(*arguments):
        spoil(copied, 2, latents=lambda z: z + 1)
        return fit(*arguments)

    monkeypatch.setattr(analyzing_parts, "fit_sample", meanwhile)
    with pytest.raises(DataError, match=r"part-000000001000.parquet, which changed meanwhile\. Wait"):
        analyze(copied, sample=100, **OPTIONS)
    assert not (copied.parent / "z-analysis").exists()


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (
            {"labels": "colour"},
            r"'colour', and the columns label, in .*0000\.parquet\. Check the spelling; a",
        ),
        ({"labels": ["ape"] * 2000}, r"must be in the parts\. Received list"),
        ({"columns": {"site": ["a"] * 2000}}, r"columns of latents in parts .* Received dict"),
        (
            {"sample": 20, "clusters": 17},
            r"clusters=17 for 16 train images in a sample of 20\. Give a larger",
        ),
        ({"sample": 0}, r"sample must be an integer of at least 1"),
        (
            {"sample": 2},
            r"sample must have one image at least for each of train, validation, test\. Received 2",
        ),
        ({"group": "slide"}, r"group='slide', and the columns \(none\)"),
        ({"overlay": ("z009",)}, r"overlay must be among"),
        ({"gpus_per_worker": 1}, r"gpus_per_worker must come with workers"),
    ],
)
def test_what_cannot_be_asked_for_is_said_before_anything_is_written(whole, tmp_path, asked, words):
    with pytest.raises((DataError, OptionError), match=words):
        analyze(whole.folder, tmp_path / "run", **{"sample": SAMPLED} | OPTIONS | asked)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("asked", [{"sample": 10}, {"workers": 2}, {"resume": True}])
def test_what_parts_alone_have_is_refused_for_other_latents(tmp_path, asked):
    with pytest.raises(OptionError, match=rf"{next(iter(asked))} must come with a folder of parts"):
        analyze(np.eye(50), tmp_path / "run", **OPTIONS, **asked)


def test_latents_that_are_not_there_are_said_before_what_is_asked_of_them(tmp_path):
    with pytest.raises(FileFormatError, match=r"none\.parquet"):
        analyze(tmp_path / "none.parquet", tmp_path / "run", workers=2, sample=10)


# Memory


def peak_of(folder, n_parts):
    """Return the most memory that drawing a sample and assigning everything needs."""
    whole = write_whole(folder / f"{n_parts}.parquet", (400,) * n_parts)
    reader = PartReader(whole.parts)
    del whole
    tracemalloc.start()
    drawn = draw_sample(reader, 300, seed=0)
    projection = PCAMap()
    points = projection.fit_transform(drawn.table.latents)
    clusters = kmeans(points, 4)
    rule = SplitRule(0).fit(None, drawn.units)
    probe = fit_logistic_ovr(
        *(values[~drawn.table.labels.mask] for values in (drawn.table.latents, drawn.table.labels))
    )
    found = {MAIN: ("map", clusters)}
    fitted = Fitted(
        drawn.rows, points, clusters.labels, projection, found, grid_over(points), rule, rule, None, probe
    )
    assigner = Assigner(reader, drawn.digests, find_place(folder / f"{n_parts}-all.parquet"), fitted)
    totals = assigner(0)
    for i in range(1, n_parts):
        totals = totals + assigner(i)
    assert len(totals) == 400 * n_parts
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_memory_stays_flat_with_ten_times_as_many_parts(tmp_path):
    peak_of(tmp_path, 3)  # what is imported and kept once
    assert peak_of(tmp_path, 60) < 1.2 * peak_of(tmp_path, 6)


# The arithmetic


@given(
    table=arrays.arrays(np.int64, (4, 3), elements=st.integers(0, 30)).filter(lambda table: table.any()),
)
def test_figures_of_a_table_are_those_of_the_labels_behind_it(table):
    clusters, labels = (axis.ravel().repeat(table.ravel()) for axis in np.indices(table.shape))
    named = [f"cluster {row}" for row in range(4)]
    judged, direct = judge_counts(table, named), judge_clusters(clusters, labels)
    assert list(judged["gini"].values()) == pytest.approx(list(direct["gini"].values()))
    assert judged["purity"] == direct["purity"]
    assert match_counts(table)["nmi"] == pytest.approx(
        normalized_mutual_info_score(labels, clusters), abs=1e-9
    )
    assert match_counts(table)["ari"] == pytest.approx(adjusted_rand_score(labels, clusters), abs=1e-9)
    assert metrics.nmi(clusters, labels) == pytest.approx(counts.nmi(table), abs=1e-12)
    assert metrics.ari(clusters, labels) == pytest.approx(counts.ari(table))


def test_pairs_of_ten_thousand_million_images_are_counted_exactly():
    table = np.diag([6 * 10**9, 4 * 10**9])
    assert counts.ari(table) == counts.nmi(table) == counts.matched_accuracy(table) == 1


@pytest.mark.parametrize("table", [[1, 2], [[0, 0]], [[-1, 2]], [[0.5]], [[]]])
def test_what_is_no_table_of_counts_is_refused(table):
    with pytest.raises(DataError, match="how many images of each label"):
        judge_counts(table, ["a", "b"])


@settings(max_examples=30, deadline=None)
@given(cuts=st.lists(st.integers(1, 199), unique=True, max_size=6), shift=st.sampled_from([0.0, 1e4, -1e6]))
def test_moments_of_parts_add_up_to_those_of_all(cuts, shift):
    rng = np.random.default_rng(0)
    latents = (rng.normal(size=(200, 4)) * [1, 5, 0.3, 0] + shift).astype(np.float32)
    first, *rest = (moments_of(part) for part in np.split(latents, sorted(cuts)))
    total = sum(rest, first)
    table = latents.astype(np.float64)
    assert total.n == 200
    assert total.mean == pytest.approx(table.mean(axis=0), rel=1e-12)
    assert total.covariance == pytest.approx(np.cov(table, rowvar=False), rel=1e-9, abs=1e-9)
    variances = np.linalg.svd(table - table.mean(axis=0), compute_uv=False) ** 2
    assert total.explained_variance_ratio == pytest.approx(variances / variances.sum(), abs=1e-9)
    assert total.dead == audit_latents(latents)["dead"]


def test_very_many_variables_have_moments_without_a_covariance():
    wide = np.random.default_rng(0).normal(size=(3, 3000))
    total = moments_of(wide) + moments_of(wide)
    assert total.covariance is None
    assert not total.explained_variance_ratio.size


@given(st.lists(st.tuples(st.integers(-1, 2), st.sampled_from("abcde")), min_size=1), st.integers(0, 99))
def test_counts_of_labels_add_up_wherever_they_are_cut(pairs, cut):
    rows, labels = np.array([row for row, _ in pairs]), np.array([label for _, label in pairs])
    parts = [count_labels(rows[part], 3, labels[part]) for part in (slice(cut), slice(cut, None))]
    both, direct = parts[0] + parts[1], count_labels(rows, 3, labels)
    assert both.names == direct.names
    assert np.array_equal(both.table, direct.table)
    assert both.table.sum() == (rows >= 0).sum()


def test_labels_and_rows_must_be_as_many():
    with pytest.raises(DataError, match=r"one for each image\. Received 1 for 2"):
        count_labels([0, 1], 2, ["a"])


def test_a_grid_counts_every_point_once_and_those_beyond_it_at_its_edge():
    grid = Grid((0, 0), (10, 20), 5)
    points = np.random.default_rng(0).normal(5, 30, (1000, 2))
    counted = grid.count(points)
    assert counted.sum() == 1000
    assert counted[0].sum() == (points[:, 0] < 2).sum()
    assert counted[:, 4].sum() == (points[:, 1] >= 16).sum()


def test_a_grid_over_one_point_has_room():
    assert grid_over([[3, 3]], side=3).count([[3, 3], [2, 9]]).sum() == 2


def test_every_image_is_as_likely_to_be_drawn_as_any_other():
    drawn = np.concatenate([draw_rows(20, 5, seed) for seed in range(4000)])
    expected = 4000 * 5 / 20
    assert np.abs(np.bincount(drawn, minlength=20) - expected).max() < 5 * np.sqrt(expected)
    assert len(np.unique(draw_rows(10**10, 10**5, 0))) == 10**5


@pytest.mark.parametrize("n", [3, 10, 11, 500])
def test_a_rule_gives_each_split_some_and_a_tenth_of_many(n):
    units = row_units(0, 0, n)
    split = SplitRule(0).fit(None, units).assign(None, units)
    for name in ("test", "validation"):
        assert (split == name).sum() == max(1, round(n / 10))


def test_a_rule_takes_what_a_split_lacks_from_its_train_images():
    given_split, units = np.repeat(["train", "test"], [90, 10]), row_units(0, 0, 100)
    split = SplitRule(0).fit(given_split, units).assign(given_split, units)
    assert (split[90:] == "test").all()
    assert (split[:90] == "validation").sum() == 9
    assert "test" not in split[:90]


def test_a_rule_needs_a_group_for_each_split():
    with pytest.raises(
        DataError, match=r"one value of slide at least for each of .*Received 2 for train and test and"
    ):
        SplitRule(0, "slide").fit(None, group_units(0, ["a", "b", "a"]))


def test_groups_are_drawn_by_their_names_and_the_seed():
    units = group_units(0, np.arange(2000))
    assert np.array_equal(group_units(0, [7, 5]), units[[7, 5]])
    assert not np.isin(group_units(1, np.arange(2000)), units).any()
    assert np.abs(np.bincount((units * 10).astype(int)) - 200).max() < 60


def test_what_is_written_of_totals_is_read_again(whole, tmp_path):
    reader = PartReader(whole.parts)
    drawn = draw_sample(reader, 100, 0)
    points = drawn.table.latents[:, :2]
    clusters = kmeans(points, 2)
    probe = fit_logistic_ovr(drawn.table.latents, np.ma.filled(drawn.table.labels, "ape"))
    rule = SplitRule(0).fit(None, drawn.units)
    projection = PCAMap().fit(drawn.table.latents)
    found = {MAIN: ("map", clusters)}
    fitted = Fitted(
        drawn.rows, points, clusters.labels, projection, found, grid_over(points), rule, rule, probe=probe
    )
    totals = Assigner(reader, drawn.digests, find_place(tmp_path / "all.parquet"), fitted)(1)
    again, facts = unpack(pack(totals, job="a", done=3))
    assert facts == {"job": "a", "done": 3}
    assert pack(again, job="a", done=3) == pack(totals, job="a", done=3)
    with pytest.raises(FileFormatError, match="totals of parts"):
        unpack(pack(totals)[:-40])


def test_an_interval_of_counts_is_that_of_the_answers():
    rng = np.random.default_rng(0)
    right, groups = rng.random(300) < 0.8, rng.integers(12, size=300)
    sums = np.bincount(groups, right), np.bincount(groups)
    assert counted_interval(*sums) == accuracy_interval(right, groups)


def test_a_map_places_the_same_in_as_many_threads_as_it_is_told():
    latents = np.random.default_rng(0).normal(size=(60, 3))
    drawn = TSNEMap().fit(latents)
    before = drawn.transform(latents + 0.1)
    drawn.use_threads(2)
    assert np.array_equal(drawn.transform(latents + 0.1), before)
    PCAMap().use_threads(2)


@pytest.mark.parametrize("wrong", [[[-1, 1]], [[0, 0]], [1, 2]])
def test_a_density_that_is_none_is_not_drawn(wrong):
    with pytest.raises(DataError, match="how many images are in each cell"):
        plot_density(wrong, (0, 0), (1, 1))


def test_shares_of_other_clusters_are_not_drawn_beside_each_other():
    with pytest.raises(DataError, match="of the same clusters"):
        plot_cluster_shares({0: 0.5, 1: 0.5}, {0: 1.0})
    with pytest.raises(DataError, match="shares must be between 0 and 1"):
        plot_cluster_shares({0: 1.5}, {0: 1.0})


def test_tables_of_labels_say_how_much_they_count():
    assert repr(LabelCounts(np.array([[1, 2]]), ["a", "b"])) == "LabelCounts(3 images, 2 labels)"

"""What other programs read of a table is what the table says, to the pixel."""

import json
import sys
from itertools import pairwise

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from matplotlib.colors import to_hex

from caescope.errors import DataError, MissingDependencyError, OptionError
from caescope.exporting import write_features, write_geojson, write_h5ad
from caescope.exporting.geojson import _square
from caescope.exporting.outlines import lay_on_grid, outline, signed_area
from caescope.exporting.tiles import file_names, parse_tiles
from caescope.plots import plot_map
from caescope.table import LatentTable


def table_of(x, y, size=10, slide="a.svs", clusters=None, **known) -> LatentTable:
    n = len(x)
    columns = {
        "slide": np.broadcast_to(slide, n).copy(),
        "x": np.asanyarray(x),
        "y": np.asarray(y),
        "size": np.broadcast_to(size, n).copy(),
        **known.pop("columns", {}),
    }
    clusters = np.zeros(n, np.int32) if clusters is None else np.asarray(clusters, np.int32)
    latents = np.arange(3 * n, dtype=np.float32).reshape(n, 3)
    ids = np.array([f"t{i}" for i in range(n)])
    return LatentTable(ids, latents, clusters=clusters, columns=columns, **known)


def without(table: LatentTable, *names: str) -> LatentTable:
    columns = {name: values for name, values in table.columns.items() if name not in names}
    return LatentTable(table.ids, table.latents, clusters=table.clusters, columns=columns)


def features_of(table, tmp_path, **options) -> list[dict]:
    [path] = write_geojson(table, tmp_path / "tiles.geojson", **options)
    collection = json.loads(path.read_text())
    assert collection["type"] == "FeatureCollection"
    return collection["features"]


def polygons_of(feature: dict) -> list[list]:
    geometry = feature["geometry"]
    return geometry["coordinates"] if geometry["type"] == "MultiPolygon" else [geometry["coordinates"]]


def area(feature: dict) -> float:
    return sum(signed_area(ring[:-1]) for rings in polygons_of(feature) for ring in rings)


def holds(rings: list, points: np.ndarray) -> np.ndarray:
    """Tell which points lie inside: those whose ray to the right crosses the rings an odd number of times."""
    inside = np.zeros(len(points), bool)
    for ring in rings:
        for (x1, y1), (x2, y2) in pairwise(ring):
            if y1 != y2:
                inside ^= ((y1 > points[:, 1]) != (y2 > points[:, 1])) & (points[:, 0] < x1)
                assert x1 == x2
    return inside


# Outlines


def test_a_ring_of_cells_has_a_hole_that_turns_the_other_way():
    cells = np.ones((3, 3), bool)
    cells[1, 1] = False
    assert outline(cells) == [[[(0, 0), (3, 0), (3, 3), (0, 3)], [(1, 2), (2, 2), (2, 1), (1, 1)]]]


def test_cells_that_meet_at_a_corner_are_polygons_of_their_own():
    assert outline(np.eye(2, dtype=bool)) == [
        [[(0, 0), (1, 0), (1, 1), (0, 1)]],
        [[(1, 1), (2, 1), (2, 2), (1, 2)]],
    ]


def test_a_hole_that_meets_the_outside_at_a_corner_is_still_a_hole():
    cells = np.ones((3, 3), bool)
    cells[1, 1] = cells[2, 2] = False
    [[outer, hole]] = outline(cells)
    assert signed_area(outer) == 8
    assert signed_area(hole) == -1


@given(arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
@settings(max_examples=300, deadline=None)
def test_outlines_cover_the_cells_and_nothing_else(cells):
    polygons = outline(cells)
    rows, columns = np.indices(cells.shape).reshape(2, -1)
    middles = np.stack([columns, rows], axis=1) + 0.5
    covered = [holds([[*ring, ring[0]] for ring in rings], middles) for rings in polygons]
    np.testing.assert_array_equal(np.sum(covered, axis=0) if covered else 0 * rows, cells.ravel())
    assert sum(signed_area(ring) for rings in polygons for ring in rings) == cells.sum()
    for outer, *holes in polygons:
        assert signed_area(outer) > 0
        assert all(signed_area(hole) < 0 for hole in holes)
        for ring in (outer, *holes):
            assert len(set(ring)) == len(ring)
            assert all(
                (a[0] == b[0]) != (a[1] == b[1]) for a, b in zip(ring, ring[1:] + ring[:1], strict=True)
            )


def test_rounded_corners_lie_on_the_grid_that_they_were_rounded_from():
    size = 100.4
    x = np.rint(np.arange(200) * size).astype(int)
    grid = lay_on_grid(x, np.zeros(200, int), size)
    assert grid.columns.tolist() == list(range(200))
    np.testing.assert_array_equal(grid.x_edges, [*x, x[-1] + size])


# GeoJSON


def test_a_tile_is_a_closed_square_that_qupath_knows(tmp_path):
    table = table_of(
        [20], [30], clusters=[4], errors=np.array([0.25], np.float32), columns={"age": np.array([7])}
    )
    [feature] = features_of(table, tmp_path)
    assert feature == {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [[[20, 30], [30, 30], [30, 40], [20, 40], [20, 30]]]},
        "properties": {
            "objectType": "tile",
            "name": "t0",
            "classification": {"name": "cluster 4", "color": [63, 144, 218]},
            "measurements": {"error": 0.25, "age": 7.0},
        },
    }
    assert signed_area(feature["geometry"]["coordinates"][0][:-1]) == 100  # counter-clockwise from x to y


@given(
    cells=arrays(np.int8, st.tuples(st.integers(1, 7), st.integers(1, 7)), elements=st.integers(-2, 3)),
    size=st.sampled_from([1, 7, 512]),
)
@settings(max_examples=60, deadline=None)
def test_dissolved_tiles_cover_what_the_tiles_do(cells, size, tmp_path_factory):
    rows, columns = np.nonzero(cells > -2)  # -2: no tile, -1: no cluster
    if not len(rows):
        return
    table = table_of(columns * size + 13, rows * size - 5, size, clusters=cells[rows, columns])
    tmp_path = tmp_path_factory.mktemp("dissolved")
    middles = parse_tiles(table).centres
    dissolved = {
        f["properties"]["classification"]["name"]: f for f in features_of(table, tmp_path, dissolve=True)
    }
    known = np.unique(table.clusters[table.clusters >= 0]).tolist()
    assert list(dissolved) == [f"cluster {cluster}" for cluster in known]
    for cluster in known:
        feature = dissolved[f"cluster {cluster}"]
        mine = table.clusters == cluster
        assert area(feature) == mine.sum() * size**2
        assert feature["properties"]["measurements"] == {"tiles": mine.sum()}
        covered = [holds(rings, middles) for rings in polygons_of(feature)]
        np.testing.assert_array_equal(np.sum(covered, axis=0), mine)


@given(st.sets(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1))
@settings(max_examples=30, deadline=None)
def test_the_middle_of_a_tile_lies_in_its_own_polygon_alone(places):
    x, y = np.array(sorted(places)).T * 8
    table = table_of(x, y, 8)
    tiles = parse_tiles(table)
    inside = [holds([_square(tiles, row)], tiles.centres) for row in range(len(x))]
    np.testing.assert_array_equal(inside, np.eye(len(x), dtype=bool))


def test_colours_are_those_of_the_map_also_where_some_tiles_have_no_cluster(tmp_path):
    clusters = [-1, 5, 2, 5]
    features = features_of(table_of([0, 10, 20, 30], [0] * 4, clusters=clusters), tmp_path)
    ax = plot_map(np.random.default_rng(0).normal(size=(4, 2)), np.array(clusters))
    entries = zip(ax.get_legend().get_texts(), ax.get_legend().get_lines(), strict=True)
    on_map = {f"cluster {text.get_text()}": to_hex(line.get_color()) for text, line in entries}
    assert "classification" not in features[0]["properties"]
    for feature in features[1:]:
        kind = feature["properties"]["classification"]
        assert to_hex(np.array(kind["color"]) / 255) == on_map[kind["name"]]


def test_classes_can_be_named_and_be_any_column(tmp_path):
    labels = np.ma.array(["adipose", "stroma", "?"], mask=[False, False, True])
    table = table_of([0, 10, 20], [0] * 3, clusters=[0, 1, 1], labels=labels)
    named = [
        f["properties"]["classification"]["name"] for f in features_of(table, tmp_path, names={"1": "fat"})
    ]
    assert named == ["cluster 0", "fat", "fat"]
    by_label = [f["properties"].get("classification") for f in features_of(table, tmp_path, value="label")]
    assert [kind and kind["name"] for kind in by_label] == ["adipose", "stroma", None]


def test_each_slide_gets_a_file_and_keeps_its_colours(tmp_path):
    table = table_of([0, 0, 10], [0, 0, 0], slide=["b/one.svs", "two.tiff", "two.tiff"], clusters=[1, 0, 1])
    paths = write_geojson(table, tmp_path / "out")
    assert [path.name for path in paths] == ["one.geojson", "two.geojson"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["one.geojson", "two.geojson"]
    first, second = (json.loads(path.read_text())["features"] for path in paths)
    assert first[0]["properties"]["classification"] == second[1]["properties"]["classification"]
    assert [feature["properties"]["name"] for feature in second] == ["t1", "t2"]


def test_a_single_slide_gets_a_file_that_qupath_offers_to_open(tmp_path):
    """It shows those that end in .geojson alone."""
    table = table_of([0], [0], slide=["b/one.svs"], clusters=[1])
    assert write_geojson(table, tmp_path / "out") == [tmp_path / "out" / "one.geojson"]
    assert write_geojson(table, tmp_path / "a.json") == [tmp_path / "a.json"]
    (tmp_path / "notes").write_text("kept")
    with pytest.raises(OptionError, match=r"ends in \.geojson or \.json\. Received .*notes for 1 slide\."):
        write_geojson(table, tmp_path / "notes")
    assert (tmp_path / "notes").read_text() == "kept"


def test_measurements_that_are_not_known_are_left_out_and_text_is_escaped(tmp_path):
    age = np.ma.array([1.5, 0.0], mask=[False, True])
    errors = np.array([np.nan, 1], np.float32)
    table = table_of([0, 10], [0, 0], columns={"age": age}, labels=np.array(['"\n', "\ud800"]), errors=errors)
    features = features_of(table, tmp_path, value="label")
    assert [feature["properties"]["measurements"] for feature in features] == [{"age": 1.5}, {"error": 1.0}]
    assert features[0]["properties"]["classification"]["name"] == '"'


@pytest.mark.parametrize(
    ("table", "options", "error", "message"),
    [
        (without(table_of([0], [0]), "x", "size"), {}, DataError, "Received a table without x, size. Encode"),
        (
            table_of([0, 5], [0, 0]),
            {"dissolve": True},
            DataError,
            "corners are 5 pixels apart. Cut them without",
        ),
        (table_of([0, 0], [0, 0]), {"dissolve": True}, DataError, "lie on one another"),
        (table_of([0, 10], [0, 0], size=[10, 20]), {"dissolve": True}, DataError, "must have one size"),
        (
            table_of([0], [0]),
            {"value": "grade"},
            OptionError,
            "'grade', which is none of cluster, slide, x, y",
        ),
        (
            table_of([0], [0], columns={"p": np.array([0.5])}),
            {"value": "p"},
            OptionError,
            "1 different values",
        ),
        (table_of([0], [0]), {"names": {0: " "}}, DataError, "Classes must have names"),
        (table_of([0], [0], size=0), {}, DataError, "size must be positive. Received 0."),
        (table_of([np.nan], [0]), {}, DataError, "x must be finite numbers"),
        (table_of(["a"], [0]), {}, DataError, "x must be finite numbers"),
        (table_of(np.ma.array([0, 1], mask=[0, 1]), [0, 0]), {}, DataError, "x must be known for every tile"),
        (table_of([], []), {}, DataError, "The table must have tiles"),
        (table_of([0, 1], [0, 0], slide=["a", "b"]), {}, OptionError, "path must be a folder"),
    ],
)
def test_what_cannot_be_written_is_said_and_leaves_nothing(table, options, error, message, tmp_path):
    with pytest.raises(error) as caught:
        write_geojson(table, tmp_path / "tiles.geojson", **options)
    assert message in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_one_bad_slide_keeps_all_from_being_written(tmp_path):
    table = table_of([0, 0, 5], [0, 0, 0], slide=["good", "bad", "bad"])
    with pytest.raises(DataError, match="side by side on one grid"):
        write_geojson(table, tmp_path / "out", dissolve=True)
    assert not list(tmp_path.iterdir())


# Names of files


def test_names_of_files_stay_inside_their_folder():
    names = file_names(["../../etc/passwd", "C:\\x\\é.ome.tiff", "..", "a" * 300])
    assert names == ["passwd", "é", "slide", "a" * 120]


def test_two_slides_never_share_a_file(tmp_path):
    table = table_of([0, 0], [0, 0], slide=["x/a.svs", "y/A.tif"])
    with pytest.raises(DataError, match=r"Slides must differ.*'x/a.svs' and 'y/A.tif'.*Rename"):
        write_features(table, tmp_path / "out")
    assert not list(tmp_path.iterdir())


# Features


def test_features_lie_as_slide_level_models_read_them(tmp_path):
    table = table_of([0, 5, 20], [1, 7, 3], [255.6, 9, 255.6], slide=["a.svs", "b.svs", "a.svs"])
    paths = write_features(table, tmp_path / "features")
    assert [path.name for path in paths] == ["a.h5", "b.h5"]
    with h5py.File(paths[0]) as file:
        assert sorted(file) == ["coords", "features"]
        assert file["features"].dtype == np.float32
        assert file["coords"].dtype == np.int64
        np.testing.assert_array_equal(file["features"], table.latents[[0, 2]])
        np.testing.assert_array_equal(file["coords"], [[0, 1], [20, 3]])
        assert file["coords"].attrs["patch_size_level0"] == 256
        assert file["coords"].attrs["name"] == "a.svs"


def test_features_of_several_sizes_on_one_slide_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"must have one size. Received sizes from 10 to 20 on 'a.svs'"):
        write_features(table_of([0, 10], [0, 0], [10, 20]), tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_the_same_table_gives_the_same_bytes(tmp_path):
    table = table_of([0, 10], [0, 0])
    first, second = (write_features(table, tmp_path / name)[0] for name in "xy")
    assert first.read_bytes() == second.read_bytes()


# AnnData


def test_anndata_holds_the_table(tmp_path):
    anndata = pytest.importorskip("anndata")
    table = table_of(
        [0, 10, 20],
        [5, 5, 5],
        clusters=[2, -1, 10],
        labels=np.ma.array(["a", "", "b"], mask=[False, True, False]),
        split=np.array(["train", "test", "train"]),
        errors=np.array([0.1, 0.2, 0.3], np.float32),
        map=np.array([[0, 1], [2, 3], [4, 5]], np.float32),
        columns={
            "age": np.ma.array([1, 0, 3], mask=[False, True, False]),
            "weight": np.ma.array([1.5, 0, 3], mask=[False, True, False]),
            "fixed": np.ma.array([True, False, False], mask=[False, True, False]),
        },
    )
    path = write_h5ad(table, tmp_path / "new" / "tiles.h5ad")
    assert [file.name for file in path.parent.iterdir()] == ["tiles.h5ad"]
    data = anndata.read_h5ad(path)
    np.testing.assert_array_equal(data.X, table.latents)
    assert data.X.dtype == np.float32
    assert data.obs_names.tolist() == ["t0", "t1", "t2"]
    assert data.var_names.tolist() == ["z000", "z001", "z002"]
    np.testing.assert_array_equal(data.obsm["spatial"], [[5, 10], [15, 10], [25, 10]])
    np.testing.assert_array_equal(data.obsm["X_map"], table.map)
    assert data.obs["cluster"].isna().tolist() == [False, True, False]
    assert data.obs["cluster"].cat.categories.tolist() == ["10", "2"]
    assert data.obs["label"].isna().tolist() == [False, True, False]
    for name in ("age", "weight", "fixed"):
        assert data.obs[name].isna().tolist() == [False, True, False]
    assert data.obs["age"].tolist()[::2] == [1, 3]
    assert data.obs["split"].tolist() == ["train", "test", "train"]
    np.testing.assert_allclose(data.obs["error"], table.errors)
    assert data.obs["x"].tolist() == [0, 10, 20]


def test_anndata_missing_is_said_with_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "anndata", None)
    with pytest.raises(MissingDependencyError, match=r'pip install "caescope\[anndata\]"'):
        write_h5ad(table_of([0], [0]), tmp_path / "tiles.h5ad")
    assert not list(tmp_path.iterdir())


def test_anndata_refuses_an_id_twice(tmp_path):
    table = table_of([0, 10], [0, 0])
    table.ids[:] = "t0"
    with pytest.raises(DataError, match="'t0' 2 times"):
        write_h5ad(table, tmp_path / "tiles.h5ad")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("write", [write_geojson, write_features, write_h5ad])
def test_a_table_without_tiles_is_refused_by_all(write, tmp_path):
    with pytest.raises(
        DataError, match=r"columns slide, x, y, size\. Received a table without slide\. Encode"
    ):
        write(without(table_of([0], [0]), "slide"), tmp_path / "out")
    assert not list(tmp_path.iterdir())

"""Where images come from: arrays, files, folders and data sets with a name."""

from caescope.data.arrays import load_npy, load_npz
from caescope.data.fitting import Fit
from caescope.data.folder import FolderSource, load_folder
from caescope.data.idx import load_idx
from caescope.data.labels import load_annotations, load_labels
from caescope.data.mapped import MappedSource
from caescope.data.mnist_pickle import load_mnist_pickle
from caescope.data.named import load_digits, load_mnist
from caescope.data.opening import find_source, open_source
from caescope.data.section import load_tissue
from caescope.data.sources import SPLITS, ArraySource
from caescope.data.splitting import assign_splits, leaking_groups, split_source

__all__ = [
    "SPLITS",
    "ArraySource",
    "Fit",
    "FolderSource",
    "MappedSource",
    "assign_splits",
    "find_source",
    "leaking_groups",
    "load_annotations",
    "load_digits",
    "load_folder",
    "load_idx",
    "load_labels",
    "load_mnist",
    "load_mnist_pickle",
    "load_npy",
    "load_npz",
    "load_tissue",
    "open_source",
    "split_source",
]

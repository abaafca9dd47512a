"""The tutorial with caescope, as the README has it, timed step by step.

python benchmarks/peers/tutorial_caescope.py MNIST_PICKLE FOLDER
"""

import argparse

from stopwatch import Stopwatch

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("source", help="the MNIST pickle")
parser.add_argument("folder", help="where report.json and arrays.npz go")
arguments = parser.parse_args()
step = Stopwatch()

with step("import"):
    from sklearn.cluster import KMeans

    from caescope import CAE, data, metrics
    from caescope.analysis.probe import logistic_ovr
    from caescope.analysis.projection import PCAMap, TSNEMap

with step("load"):
    (x_train, y_train), (x_val, y_val), (x_test, _) = data.load_mnist_pickle(arguments.source)
    x_train, x_val, x_test = (x.reshape(-1, 28, 28, 1) for x in (x_train, x_val, x_test))

with step("train, 5 epochs"):
    cae = CAE(input_shape=(28, 28, 1), latent_features=20, filters=[8, 16], seed=0)
    cae.model.fit(x_train, x_train, epochs=5, verbose=0)

with step("evaluate"):
    mse = cae.model.evaluate(x_test, x_test)

with step("encode 60,000"):
    z_train, z_val = cae.encoder.predict(x_train), cae.encoder.predict(x_val)

with step("logistic regression"):
    accuracy = logistic_ovr(z_train, y_train, z_val, y_val).test

with step("PCA"):
    PCAMap().fit_transform(z_train)

with step("t-SNE"):
    points = TSNEMap().fit_transform(z_train)

with step("KMeans"):
    clusters = KMeans(20, n_init=10, random_state=0).fit_predict(points)

with step("Gini impurity"):
    metrics.cluster_gini(clusters, y_train)

step.report(f"{arguments.folder}/report.json", mse=mse, accuracy=accuracy)

import numpy as np  # noqa: E402

np.savez(f"{arguments.folder}/arrays.npz", latents=z_train, points=points, clusters=clusters, labels=y_train)

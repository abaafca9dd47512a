"""The tutorial with Keras and scikit-learn, as its notebook's users write it, timed step by step.

Only the pickle is read by this library, as nothing from outside is given to pickle.load.

python benchmarks/peers/tutorial_keras.py MNIST_PICKLE FOLDER
"""

import argparse
import os
import sys
from pathlib import Path

from stopwatch import Stopwatch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))
from caescope.data import load_mnist_pickle

os.environ["KERAS_BACKEND"], os.environ["TF_CPP_MIN_LOG_LEVEL"] = "tensorflow", "3"
parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("source", help="the MNIST pickle")
parser.add_argument("folder", help="where report.json and arrays.npz go")
arguments = parser.parse_args()
step = Stopwatch()

with step("import"):
    import keras
    import numpy as np
    from keras import layers
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression
    from sklearn.manifold import TSNE
    from sklearn.metrics import classification_report, confusion_matrix
    from sklearn.multiclass import OneVsRestClassifier

with step("load"):
    (x_train, y_train), (x_val, y_val), (x_test, _) = load_mnist_pickle(arguments.source)
    x_train, x_val, x_test = (x.reshape(-1, 28, 28, 1) for x in (x_train, x_val, x_test))

with step("train, 5 epochs"):
    keras.utils.set_random_seed(0)
    same = {"padding": "same", "activation": "relu"}
    encoder = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(8, 3, **same),
            layers.MaxPooling2D(2),
            layers.Conv2D(16, 3, **same),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(20, activation="relu"),
        ]
    )
    decoder = keras.Sequential(
        [
            keras.Input((20,)),
            layers.Dense(7 * 7 * 16, activation="relu"),
            layers.Reshape((7, 7, 16)),
            layers.UpSampling2D(2),
            layers.Conv2D(8, 3, **same),
            layers.UpSampling2D(2),
            layers.Conv2D(1, 3, padding="same", activation="sigmoid"),
        ]
    )
    model = keras.Sequential([encoder, decoder])
    model.compile(optimizer="adamax", loss="mse")
    model.fit(x_train, x_train, epochs=5, verbose=0)

with step("evaluate"):
    mse = model.evaluate(x_test, x_test, verbose=0)

with step("encode 60,000"):
    z_train, z_val = encoder.predict(x_train, verbose=0), encoder.predict(x_val, verbose=0)

with step("logistic regression"):
    regression = OneVsRestClassifier(LogisticRegression(max_iter=1000)).fit(z_train, y_train)
    regression.score(z_train, y_train)
    predicted = regression.predict(z_val)
    accuracy = float((predicted == y_val).mean())
    classification_report(y_val, predicted)
    confusion_matrix(y_val, predicted)

with step("PCA"):
    PCA(2).fit_transform(z_train)

with step("t-SNE"):
    points = TSNE(perplexity=40, max_iter=300, random_state=0).fit_transform(z_train)

with step("KMeans"):
    clusters = KMeans(20, n_init=10, random_state=0).fit_predict(points)

with step("Gini impurity"):
    for cluster in range(20):
        shares = np.bincount(y_train[clusters == cluster]) / (clusters == cluster).sum()
        1 - np.square(shares).sum()

step.report(f"{arguments.folder}/report.json", mse=mse, accuracy=accuracy)
np.savez(f"{arguments.folder}/arrays.npz", latents=z_train, points=points, clusters=clusters, labels=y_train)

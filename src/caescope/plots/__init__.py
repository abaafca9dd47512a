"""Pictures of what the rest computed: arrays in, matplotlib Axes out.

Nothing here computes a result or changes matplotlib's global state. Where a picture is a single Axes,
``ax=None`` draws on a new figure; :func:`save_figure` writes and closes it.
"""

from caescope.plots.cards import plot_cluster_card
from caescope.plots.clusters import plot_cluster_labels, plot_cluster_sheet, plot_gini
from caescope.plots.curves import plot_explained_variance, plot_latent_std, plot_loss
from caescope.plots.everything import plot_cluster_shares, plot_density
from caescope.plots.groups import plot_group_clusters
from caescope.plots.heatmaps import plot_confusion
from caescope.plots.images import plot_paired_imgs, plot_sample_imgs
from caescope.plots.latents import plot_correlation, plot_sweeps
from caescope.plots.maps import plot_map
from caescope.plots.overlays import plot_overlay
from caescope.plots.probes import plot_confounders, plot_probes
from caescope.plots.quality import plot_clusterings, plot_silhouette_curve, plot_stability
from caescope.plots.reconstruction import plot_errors, plot_residuals
from caescope.plots.saving import save_figure

__all__ = [
    "plot_cluster_card",
    "plot_cluster_labels",
    "plot_cluster_shares",
    "plot_cluster_sheet",
    "plot_clusterings",
    "plot_confounders",
    "plot_confusion",
    "plot_correlation",
    "plot_density",
    "plot_errors",
    "plot_explained_variance",
    "plot_gini",
    "plot_group_clusters",
    "plot_latent_std",
    "plot_loss",
    "plot_map",
    "plot_overlay",
    "plot_paired_imgs",
    "plot_probes",
    "plot_residuals",
    "plot_sample_imgs",
    "plot_silhouette_curve",
    "plot_stability",
    "plot_sweeps",
    "save_figure",
]

"""What looks on while a model trains; the hooks have Keras's names, so Keras-style objects work too."""

from caescope.callbacks.base import Callback, CallbackList, History
from caescope.callbacks.checkpoint import Checkpoint
from caescope.callbacks.early_stopping import EarlyStopping
from caescope.callbacks.progress import Progress
from caescope.callbacks.tensorboard import TensorBoard

__all__ = ["Callback", "CallbackList", "Checkpoint", "EarlyStopping", "History", "Progress", "TensorBoard"]

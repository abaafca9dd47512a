"""Every exception that caescope raises on purpose.

    CaescopeError
    ├── InputError (also a ValueError)      what came from the user is at fault; the command line exits with 1
    │   ├── OptionError                     an option or argument
    │   ├── DataError                       images or labels
    │   ├── FileFormatError                 a file that is not what it should be
    │   └── ModelError                      a model folder or its weights
    ├── OutputError                         a file or folder cannot be written
    ├── TrainingError                       training cannot go on
    └── MissingDependencyError (also an ImportError)
    TrainingStopped (a KeyboardInterrupt)   training was asked to stop, and can be gone on with

Each message is one sentence in three parts: what must hold, what came, what to do.
"""


class CaescopeError(Exception):
    """Base of all errors here: ``str(error)`` reads *must* . Received *received* . *advice*.

    Parameters
    ----------
    must : str
        What must hold, without a full stop: ``"filters must be positive integers"``.
    received : str
        What came instead, without a full stop: ``"filters=(8, -1)"``.
    advice : str
        What the reader can do, with a full stop: ``"Use for example filters=(8, 16)."``

    Examples
    --------
    >>> print(OptionError("k must be at least 1", "k=0", "Use k=20, the default."))
    k must be at least 1. Received k=0. Use k=20, the default.
    """

    def __init__(self, must: str, received: str, advice: str):
        super().__init__(must, received, advice)
        self.must, self.received, self.advice = must, received, advice

    def __str__(self) -> str:
        return f"{self.must}. Received {self.received}. {self.advice}"


class InputError(CaescopeError, ValueError):
    """What came from the user is at fault."""


class OptionError(InputError):
    """An option or argument has a value that cannot be used."""


class DataError(InputError):
    """Images or labels cannot be used."""


class FileFormatError(InputError):
    """A file is missing, damaged or not of the kind it should be."""


class ModelError(InputError):
    """A model folder or one of its files cannot be used."""


class OutputError(CaescopeError):
    """A file or folder cannot be written, for example because the disk is full."""


class TrainingError(CaescopeError):
    """Training cannot go on, for example because the loss is no longer a number."""


class MissingDependencyError(CaescopeError, ImportError):
    """An optional package is needed and not installed."""


class TrainingStopped(KeyboardInterrupt):
    """Training was asked to stop by Ctrl-C or SIGTERM, and its checkpoint is written.

    Attributes
    ----------
    signal : int
        The signal that asked for it.
    """

    def __init__(self, sentence: str, signal: int):
        super().__init__(sentence)
        self.signal = signal

    def __reduce__(self):
        return type(self), (str(self), self.signal)

"""Places where files are: folders of this machine's disk, and buckets of object storage, by their URL.

A path on storage is written as its own tools write it, ``s3://bucket/folder/a b.png``: nothing is escaped.
Who may read and write there is told by the environment (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or
AWS_PROFILE, or the machine's role), and so is which server is asked (AWS_ENDPOINT_URL, AWS_REGION); a URL may
tell the latter at its end, as in ``s3://bucket/folder?endpoint_override=localhost:9000&scheme=http``.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote

from caescope.errors import DataError, FileFormatError, InputError, OptionError, OutputError
from caescope.files import printable
from caescope.writing import write_atomically

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

S3 = "s3"
SCHEMES = (S3, "gs", "gcs", "abfs", "abfss", "hdfs", "viewfs")
S3_OPTIONS = ("endpoint_override", "scheme", "region", "anonymous")
ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")  # variables of the environment, the first first
CONNECT_SECONDS, SILENT_SECONDS, ATTEMPTS = 5, 20, 3  # after which a server counts as gone
GOOGLE_SECONDS = 60  # for which Google's is asked again
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://(.*)", re.DOTALL)
_COLLAPSED = re.compile(rf"({'|'.join(SCHEMES)}):/(?!/)(.*)", re.DOTALL)  # what pathlib makes of a URL
_OPTIONS = re.compile(r"(.*)\?(\w+=[^?]*)", re.DOTALL)


@dataclass(frozen=True)
class Place:
    """A file or a folder, on this machine or on storage; `find_place` makes it.

    It may be pickled: another process, or another machine, connects by what its own environment tells.

    Attributes
    ----------
    filesystem : pyarrow.fs.FileSystem
    path : str
        Where it is for ``filesystem``.
    base, options : str
        What the user wrote, and the options at its end, with the question mark.
    """

    filesystem: "FileSystem" = field(compare=False, repr=False)
    path: str
    base: str
    options: str = ""

    def __str__(self) -> str:
        return self.base + self.options

    def __reduce__(self):
        return find_place, (str(self),)

    def __truediv__(self, name: str) -> "Place":
        path, base = (f"{text.rstrip('/')}/{name}" for text in (self.path, self.base))
        return Place(self.filesystem, path, base, self.options)

    @property
    def is_remote(self) -> bool:
        """Whether it is on storage."""
        return is_remote(self.base)

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rstrip("/").rpartition("/")[2]

    def exists(self) -> bool:
        """Tell whether there is a file or a folder."""
        if not self.is_remote:
            return os.path.lexists(self.path)
        with reading(self):
            return self.filesystem.get_file_info(self.path).type.name != "NotFound"

    def read_bytes(self) -> bytes:
        """Return the whole content of a file.

        Raises
        ------
        FileFormatError
            If there is none.
        DataError
            If storage does not answer, or does not let it be read.
        """
        with reading(self), self.filesystem.open_input_file(self.path) as file:
            return file.read()

    def write_bytes(self, content: bytes) -> None:
        """Write a file of which others see all or what was there before.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        if self.is_remote:
            with _putting(self), self.filesystem.open_output_stream(self.path) as stream:
                stream.write(content)
        else:
            write_atomically(self.path, content)

    def names(self) -> list[str]:
        """Return the names of the files in a folder, sorted; of one that is not there, none.

        Raises
        ------
        DataError, FileFormatError
            If storage does not answer, or there is no such bucket.
        """
        from pyarrow.fs import FileSelector, FileType

        try:
            with reading(self):
                found = self.filesystem.get_file_info(FileSelector(self.path))
        except FileFormatError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return []
            raise
        return sorted(info.base_name for info in found if info.type == FileType.File)


def is_remote(path: Any) -> bool:
    """Tell whether a path is a URL, as those of files on storage are.

    >>> is_remote("s3://bucket/photos"), is_remote("photos"), is_remote(Path("s3://bucket/photos"))
    (True, False, True)
    """
    return isinstance(path, (str, os.PathLike)) and _URL.fullmatch(_text_of(path)) is not None


def find_place(path: str | os.PathLike) -> Place:
    """Return where a path leads, without asking whether there is anything.

    Parameters
    ----------
    path : path-like
        On this machine, or a URL such as ``s3://bucket/folder``.

    Raises
    ------
    OptionError
        If the URL is of a kind that is not known, or cannot be used.
    DataError
        If storage has to be asked where a bucket is and does not answer.
    """
    text = _text_of(path)
    found = _URL.fullmatch(text)
    if found is None:
        from pyarrow.fs import LocalFileSystem

        return Place(LocalFileSystem(), text, text)
    scheme, rest = found[1].lower(), found[2]
    if scheme not in SCHEMES:
        known = ", ".join(f"{name}://" for name in SCHEMES)
        raise OptionError(
            f"A URL must start with one of {known}",
            printable(f"{found[1]}://…"),
            "Fetch the file, and give its path on this machine.",
        )
    return _on_s3(text, rest) if scheme == S3 else _elsewhere(text, scheme, rest)


def local_path(path: str | os.PathLike, what: str = "A run folder") -> Path:
    """Return a path that must be on this machine, or raise `OptionError`.

    >>> local_path("s3://bucket/runs/a")
    Traceback (most recent call last):
    caescope.errors.OptionError: A run folder must be on this machine's disk. Received s3://bucket/runs/a. ...
    """
    if not is_remote(path):
        return Path(path)
    raise OptionError(
        f"{what} must be on this machine's disk",
        printable(_text_of(path)),
        "Give a local path, and copy between it and storage with a tool of your storage.",
    )


def path_or_url(path: str | os.PathLike) -> Path | str:
    """Return a path as `pathlib` has it, but a URL as text: `pathlib` would join its slashes."""
    return _text_of(path) if is_remote(path) else Path(path)


@contextmanager
def reading(place: Place) -> Iterator[None]:
    """Turn whatever storage says against reading inside into one sentence that names the place.

    A file that is not there is a `FileFormatError`, as on a disk; anything else says nothing about the file,
    and is a `DataError`, so that no image is left out because a server is down.
    """
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileFormatError(
            f"{place} must exist", "no such file or folder", "Check the spelling."
        ) from error
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        received, advice = _explain(error)
        kind = FileFormatError if "no such bucket" in received else DataError
        raise kind(f"{place} must be readable", received, advice) from error


@contextmanager
def called(path: str | os.PathLike, name: str) -> Iterator[None]:
    """Let errors about the input call a file or a folder by another name than its path."""
    try:
        yield
    except InputError as error:
        texts = (text.replace(str(path), name) for text in (error.must, error.received, error.advice))
        raise type(error)(*texts) from error


@contextmanager
def _putting(place: Place) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        received, advice = _explain(error)
        refused: Any = OutputError("The output must be writable", f"{place} ({received})", advice)
        refused.filename = str(place)  # as errors of the system have one: so it is not taken for another's
        raise refused from error


def _explain(error: Exception) -> tuple[str, str]:
    """Return what storage says, and what to do about it."""
    text = " ".join(str(error).split())
    code = found[1] if (found := re.search(r"AWS Error (\w+)", text)) else ""
    if code == "NO_SUCH_BUCKET" or ("Bucket '" in text and "not found" in text):
        return "no such bucket", "Check its name, and AWS_ENDPOINT_URL where storage is not Amazon's."
    if code in ("ACCESS_DENIED", "INVALID_ACCESS_KEY_ID", "SIGNATURE_DOES_NOT_MATCH"):
        advice = (
            "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, of somebody who may do this."
        )
        return f"access denied ({code})", advice
    if (
        code in ("NETWORK_CONNECTION", "REQUEST_TIMEOUT", "SLOW_DOWN", "SERVICE_UNAVAILABLE")
        or "curl" in text
    ):
        reason = text.rpartition("Details: ")[2] or text
        advice = "Check the network and AWS_ENDPOINT_URL, and try again."
        return f"no answer from storage: {printable(reason)}".rstrip("."), advice
    return printable(text or type(error).__name__).rstrip(
        "."
    ), "Check the URL and the network, and try again."


def _text_of(path: str | os.PathLike) -> str:
    text = os.fsdecode(path)
    if isinstance(path, PurePath) and (found := _COLLAPSED.fullmatch(text)):
        return f"{found[1]}://{found[2]}"
    return text


def _on_s3(text: str, rest: str) -> Place:
    given = _OPTIONS.fullmatch(rest)
    path, query = (given[1], given[2]) if given else (rest, "")
    options = dict(parse_qsl(query, keep_blank_values=True))
    if unknown := next((name for name in options if name not in S3_OPTIONS), None):
        raise OptionError(
            f"An option of an s3:// URL must be one of {', '.join(S3_OPTIONS)}",
            repr(unknown),
            "Leave it out.",
        )
    bucket = path.partition("/")[0]
    if "@" in bucket:
        advice = (
            "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY: URLs are written into records and messages."
        )
        raise OptionError("An s3:// URL must hold no name or secret", "one before an @", advice)
    path = path.rstrip("/")
    if any(part in ("", ".", "..") for part in path.split("/")) or "\0" in path:
        raise OptionError(
            "An s3:// URL must name a bucket, and have no part between slashes that is empty or dots",
            printable(text),
            "Write for example s3://bucket/folder/.",
        )
    suffix = f"?{query}" if query else ""
    return Place(_s3_filesystem(bucket, options), path, text.removesuffix(suffix), suffix)


def _s3_filesystem(bucket: str, options: dict[str, str]) -> "FileSystem":
    from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem

    environment = os.environ
    named = next((environment[name] for name in ENDPOINTS if environment.get(name)), None)
    endpoint = options.get("endpoint_override") or named
    region = options.get("region") or environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION")
    return S3FileSystem(
        endpoint_override=endpoint,
        scheme=options.get("scheme"),
        region=region or ("us-east-1" if endpoint else _region_of(bucket)),
        anonymous=options.get("anonymous") == "true",
        connect_timeout=CONNECT_SECONDS,
        request_timeout=SILENT_SECONDS,
        retry_strategy=AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS),
        allow_delayed_open=True,  # a small file is then written by one request
    )


@cache
def _region_of(bucket: str) -> str:
    from pyarrow.fs import LocalFileSystem, resolve_s3_region

    with reading(Place(LocalFileSystem(), bucket, f"s3://{bucket}")):
        return resolve_s3_region(bucket)


def _elsewhere(text: str, scheme: str, rest: str) -> Place:
    """Return a place on storage of another kind, of which pyarrow reads the URL, options and all."""
    from pyarrow.fs import FileSystem

    path, mark, query = rest.partition("?")
    if ":" in path.partition("/")[0].rpartition("@")[0]:
        raise _secret_in(scheme)
    limit = f"&retry_limit_seconds={GOOGLE_SECONDS}" if scheme in ("gs", "gcs") else ""
    options = (query if "retry_limit_seconds" in query else query + limit).lstrip("&")
    try:
        filesystem, inner = FileSystem.from_uri(f"{scheme}://{quote(path, safe='/@:')}?{options}".rstrip("?"))
    except (OSError, ValueError, NotImplementedError) as error:
        received, advice = _explain(error)
        raise OptionError(f"{printable(text)} must be a URL that pyarrow reads", received, advice) from error
    return Place(filesystem, inner.rstrip("/") or inner, text.removesuffix(mark + query), mark + query)


def _secret_in(scheme: str) -> OptionError:
    return OptionError(
        f"A URL of {scheme}:// must hold no name or secret",
        "one before an @",
        "Give them in the environment: URLs are written into records and messages.",
    )

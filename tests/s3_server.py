"""A real S3-compatible server, moto's, in a process of its own, that tests fill and stop."""

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

BUCKET, MANY = "bucket", "many"


class S3Server:
    """A server with one bucket, and another of ``many`` images, from when it is made until `stop`."""

    def __init__(self, many: int = 0):
        command = [sys.executable, "-W", "ignore", __file__, str(many)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self._process.stdout is not None
        self.endpoint = self._process.stdout.readline().strip()
        self.environment = {
            "AWS_ACCESS_KEY_ID": "somebody",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": "127.0.0.1",
        }
        self.client = self._connect()
        self.client.create_bucket(Bucket=BUCKET)

    def _connect(self) -> Any:
        import boto3
        from botocore.config import Config

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id="somebody",
            aws_secret_access_key="secret",
            config=Config(proxies={}),
        )

    def put(self, key: str, content: bytes) -> str:
        """Store an object and return its URL."""
        self.client.put_object(Bucket=BUCKET, Key=key, Body=content)
        return f"s3://{BUCKET}/{key}"

    def put_folder(self, folder: Path, key: str) -> str:
        """Store every file of a folder and return the folder's URL."""
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self.put(f"{key}/{path.relative_to(folder).as_posix()}", path.read_bytes())
        return f"s3://{BUCKET}/{key}"

    def get(self, key: str) -> bytes:
        """Return the content of an object."""
        return self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read()

    def keys(self, prefix: str = "") -> list[str]:
        """Return the keys of all objects below a prefix, at most a thousand."""
        found = self.client.list_objects_v2(Bucket=BUCKET, Prefix=prefix)
        return [item["Key"] for item in found.get("Contents", ())]

    def delete(self, key: str) -> None:
        """Remove an object."""
        self.client.delete_object(Bucket=BUCKET, Key=key)

    def stop(self) -> None:
        """End the server at once."""
        self._process.kill()
        with suppress(OSError):
            self._process.communicate()
        self.client.close()


def serve() -> None:
    """Serve until standard input ends."""
    from moto.server import ThreadedMotoServer

    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    _fill(int(sys.argv[1]))
    host, port = server.get_host_and_port()
    print(f"http://{host}:{port}", flush=True)
    sys.stdin.read()


def _fill(count: int) -> None:
    """Store images in the bucket "many" from within, which takes no request for each."""
    from moto.core.models import DEFAULT_ACCOUNT_ID
    from moto.s3.models import s3_backends

    content = _png()
    backend = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
    backend.create_bucket(MANY, "us-east-1")
    for i in range(count):
        backend.put_object(MANY, f"class {i % 7}/{i:05d}.png", content)


def _png() -> bytes:
    from io import BytesIO

    from PIL import Image

    Image.new("L", (2, 2), 7).save(content := BytesIO(), "PNG")
    return content.getvalue()


if __name__ == "__main__":
    serve()

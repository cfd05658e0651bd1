"""Direct access to the objects of the Pulumi backend: locks, history and states.

It supports files and S3. Keys are those of Pulumi and begin with `.pulumi/`. Pulumi supports more backends
(`gs://`, `azblob://`, …): deployments work there, and a verb that needs this module reports that it is not available.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from machine.files import write_file
from machine.progress import SetupError
from machine.workdir import WorkDir
from toolchain.environment import FILES, backend_url

PROJECT = "dockyard"
STATES = f".pulumi/stacks/{PROJECT}/"
"""Key prefix of all states."""

S3_OPTIONS = {
    *("region", "endpoint", "profile", "s3ForcePathStyle", "use_path_style", "disableSSL", "disable_https"),
    *("hostname_immutable", "request_checksum_calculation", "response_checksum_validation", "awssdk"),
}
"""Query parameters that an S3 address may have: Pulumi's options (gocloud.dev/aws, s3blob) that boto3 supports with
the same meaning, or that do not matter to it."""

S3_REFUSALS = {
    "NoSuchBucket": ("the bucket does not exist", "create it with versioning, or correct the address"),
    "InvalidAccessKeyId": ("the access key is unknown", "set AWS_PROFILE, or the access keys, for this store"),
    "SignatureDoesNotMatch": ("the secret key is wrong", "set AWS_PROFILE, or the access keys, for this store"),
    "ExpiredToken": ("the credentials have expired", "log in again, with `aws sso login` for instance"),
    "PermanentRedirect": ("the bucket is in another region", "set it in the address: ?region=…"),
    "RequestTimeTooSkewed": ("this machine's clock is wrong", "set the time of this machine"),
    "AccessDenied": (
        "the credentials lack a permission for this",
        "they need s3:ListBucket on the bucket, s3:GetObject, s3:PutObject and s3:DeleteObject on its objects",
    ),
}
"""S3 error code → its meaning and the remedy."""


class FileStore:
    """A backend in a folder of the local file system."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = f"{FILES}{folder}"

    def keys(self, prefix: str) -> list[str]:
        """Return the keys that begin with `prefix`, sorted, without Pulumi's `.attrs` files."""
        start = self.folder / prefix.rpartition("/")[0]
        keys = (path.relative_to(self.folder).as_posix() for path in start.rglob("*") if path.is_file())
        return sorted(key for key in keys if key.startswith(prefix) and not key.endswith(".attrs"))

    def read(self, key: str) -> bytes:
        """Return a file's content. Raises FileNotFoundError if it does not exist."""
        return (self.folder / key).read_bytes()

    def write(self, key: str, content: bytes) -> None:
        """Write a file (mode 0600) atomically."""
        # Pulumi's `.attrs` file holds a checksum of the previous content.
        (self.folder / f"{key}.attrs").unlink(missing_ok=True)
        write_file(self.folder / key, content, 0o600)

    def delete(self, key: str) -> None:
        """Delete a file and its `.attrs` file, if they exist."""
        for name in (key, f"{key}.attrs"):
            (self.folder / name).unlink(missing_ok=True)


class S3Store:
    """A backend in an S3 bucket, with Pulumi's address and credentials: AWS's files and environment variables.

    Every method raises SetupError with one sentence if the store cannot be reached or refuses the request.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.url = url
        self.bucket, self.prefix = parts.netloc, parts.path.strip("/")
        self.prefix += "/" if self.prefix else ""
        options = dict(parse_qsl(parts.query))
        if unknown := sorted(options.keys() - S3_OPTIONS):
            raise SetupError(
                f"the address of the state {self.address} has unsupported options: {', '.join(unknown)}",
                "put them into a profile of ~/.aws/config, and use ?profile=…",
            )
        self._client = self._connect(options)

    @property
    def address(self) -> str:
        """The address without its options."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def keys(self, prefix: str) -> list[str]:
        """Return the keys that begin with `prefix`, sorted."""
        with self._readable_errors():
            listing = self._client.get_paginator("list_objects_v2")
            pages = listing.paginate(Bucket=self.bucket, Prefix=self.prefix + prefix)
            keys = (entry["Key"] for page in pages for entry in page.get("Contents", ()))
            return sorted(key.removeprefix(self.prefix) for key in keys)

    def read(self, key: str) -> bytes:
        """Return an object's content. Raises FileNotFoundError if it does not exist."""
        with self._readable_errors():
            content: bytes = self._client.get_object(Bucket=self.bucket, Key=self.prefix + key)["Body"].read()
        return content

    def write(self, key: str, content: bytes) -> None:
        """Write an object. S3 makes it visible atomically."""
        with self._readable_errors():
            self._client.put_object(Bucket=self.bucket, Key=self.prefix + key, Body=content)

    def delete(self, key: str) -> None:
        """Delete an object if it exists."""
        with self._readable_errors():
            self._client.delete_object(Bucket=self.bucket, Key=self.prefix + key)

    def _connect(self, options: dict[str, str]) -> Any:
        # Imported here: boto3 takes half a second to load and only this backend needs it. It ships no types.
        import boto3  # type: ignore[import-untyped]  # noqa: PLC0415 - slow to load, see above
        from botocore.config import Config  # type: ignore[import-untyped]  # noqa: PLC0415 - slow to load, see above

        with self._readable_errors():
            session = boto3.Session(profile_name=options.get("profile"))
            # boto3 reads AWS_DEFAULT_REGION only; Pulumi reads AWS_REGION too.
            region = options.get("region") or os.environ.get("AWS_REGION") or session.region_name
            if not region:
                raise SetupError(f"the region of {self.address} is not configured", "set it in the address: ?region=…")
            endpoint = options.get("endpoint")
            if endpoint and "://" not in endpoint:
                insecure = "true" in (options.get("disableSSL"), options.get("disable_https"))
                endpoint = f"{'http' if insecure else 'https'}://{endpoint}"
            path_style = "true" in (options.get("s3ForcePathStyle"), options.get("use_path_style"))
            return session.client(
                "s3",
                region_name=region,
                endpoint_url=endpoint,
                config=Config(
                    connect_timeout=5,
                    read_timeout=30,
                    retries={"total_max_attempts": 3},
                    s3={"addressing_style": "path" if path_style else "auto"},
                    # As Pulumi does: other S3 stores reject the checksums that AWS sends by default since 2025.
                    request_checksum_calculation="when_required",
                ),
            )

    @contextmanager
    def _readable_errors(self) -> Iterator[None]:
        """Convert errors of boto3 into a SetupError of one sentence."""
        from botocore import exceptions as aws  # type: ignore[import-untyped]  # noqa: PLC0415 - see _connect

        try:
            yield
        except aws.ClientError as error:
            response = error.response.get("Error", {})
            code = response.get("Code", "")
            if code in ("NoSuchKey", "404"):
                raise FileNotFoundError(self.address) from error
            message = f"{response.get('Message') or 'no reason given'} ({code})"
            meaning, remedy = S3_REFUSALS.get(code, (message, "this is the store's own message"))
            raise SetupError(f"the state at {self.address} cannot be used: {meaning}", remedy) from error
        except (aws.NoCredentialsError, aws.PartialCredentialsError, aws.CredentialRetrievalError) as error:
            raise SetupError(
                f"there are no credentials for the state at {self.address}",
                "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY: docs/state.md",
            ) from error
        except (aws.ConnectionError, aws.HTTPClientError) as error:
            # Connection refused, unknown host name, timeout, or an untrusted certificate.
            where = getattr(error, "kwargs", {}).get("endpoint_url") or self.address
            raise SetupError(
                f"the state at {self.address} cannot be reached: {where} does not answer",
                "check the network and the address; nothing was changed",
            ) from error
        except aws.BotoCoreError as error:
            # A missing profile, an expired login …: AWS's own message is clear.
            raise SetupError(f"the state at {self.address} cannot be used: {error}", "see docs/state.md") from error


Store = FileStore | S3Store


def history_prefix(stack: str) -> str:
    """Return the key prefix of a stack's history."""
    return f".pulumi/history/{PROJECT}/{stack}/"


def store_at(url: str) -> Store | None:
    """Return the store at a backend address, None if only Pulumi supports it. Raises SetupError."""
    if url.startswith(FILES):
        return FileStore(Path(url.removeprefix(FILES).partition("?")[0]).expanduser())
    return S3Store(url) if url.startswith("s3://") else None


def store_of(work: WorkDir) -> Store | None:
    """Return the store of this checkout's backend, None if only Pulumi supports it. Raises SetupError."""
    return store_at(backend_url(work))


def readable_store(work: WorkDir, purpose: str, remedy: str) -> Store:
    """Return the store of this checkout's backend. Raises SetupError if only Pulumi supports it."""
    store = store_of(work)
    if store is None:
        scheme = backend_url(work).partition("://")[0]
        raise SetupError(f"{purpose}, but the state of this stack is stored at {scheme}://", remedy)
    return store

"""Shards in an S3 bucket; endpoint and credentials come from the usual AWS variables."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    IncompleteReadError,
    ReadTimeoutError,
    ResponseStreamingError,
)
from botocore.exceptions import ConnectionError as ConnectError

from ml.errors import UserError, cut
from ml.sa1b.sources.transfer import CHUNK, PASSING, Body, TransferError, Version, plain

ATTEMPTS = 5  # to read a range; boto3 waits longer before each
BROKEN = (HTTPClientError, ConnectError, IncompleteReadError)  # what a connection does; else a setting is wrong
BUSY = {"RequestTimeout", "SlowDown"}  # codes that may come with a status of 400
CHECK = "check shards.source and the AWS variables"


def list_tars(source: str) -> list[str]:
    """The names of the tars right below `s3://bucket/prefix`.

    Raises:
        UserError: the bucket can't be listed.
    """
    bucket, prefix = _split(f"{source.rstrip('/')}/")
    try:
        pages = (
            boto3.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, Delimiter="/")
        )
        keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
    except (BotoCoreError, ClientError, ValueError) as error:
        raise UserError(f"{plain(source)}: can't be listed ({_said(error)}); {CHECK}") from error
    return [key.removeprefix(prefix) for key in keys if key.endswith(".tar")]


@contextmanager
def open_object(address: str, start: int, known: Version | None) -> Iterator[Body]:
    """The bytes of an object, from `start` on if it is still `known`, else from 0.

    Raises:
        TransferError: it failed in a way that may pass, also while the chunks are read.
        UserError: it is not there or not ours to read.
    """
    bucket, key = _split(address)
    try:
        client = boto3.client("s3")
        head = client.head_object(Bucket=bucket, Key=key)
        version = Version(head["ContentLength"], head["ETag"])
        start = start if version == known else 0
        span = {"Range": f"bytes={start}-"} if start else {}
        answer: dict[str, Any] = client.get_object(Bucket=bucket, Key=key, IfMatch=head["ETag"], **span)
        begun = answer.get("ContentRange", "").startswith(f"bytes {start}-")  # else the server gives all of it
        yield Body(start if begun else 0, version, answer["Body"].iter_chunks(CHUNK))
    except ClientError as error:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500)
        if status in PASSING - {401, 403, 404} or status >= 412 or _code(error) in BUSY:
            raise TransferError(f"{plain(address)}: {_said(error)}", restart=status == 416) from error
        raise UserError(f"{plain(address)}: {_said(error)}; {CHECK}") from error
    except BROKEN as error:
        raise TransferError(f"{plain(address)}: {_said(error)}") from error
    except (BotoCoreError, ValueError) as error:
        raise UserError(f"{plain(address)}: {_said(error)}; {CHECK}") from error


def read_range(address: str, offset: int, nbytes: int) -> bytes:
    """`nbytes` of an object from `offset` on: one image out of a tar that stays where it is.

    Raises:
        UserError: they are not there, not ours to read, or do not come after several attempts.
    """
    bucket, key = _split(address)
    span = f"bytes={offset}-{offset + nbytes - 1}"
    try:
        data = _body(bucket, key, span)
    except (BotoCoreError, ClientError, ValueError) as error:
        raise UserError(f"{plain(address)}: {span} can't be read ({_said(error)}); check the AWS variables") from error
    if len(data) != nbytes:
        raise UserError(
            f"{plain(address)}: {len(data)} bytes at {offset}, {nbytes} wanted; run mask_index for it again"
        )
    return data


def _body(bucket: str, key: str, span: str) -> bytes:
    """A range of an object; boto3 repeats requests that fail, but not bodies that break off."""
    for _ in range(ATTEMPTS - 1):
        try:
            return _client(os.getpid()).get_object(Bucket=bucket, Key=key, Range=span)["Body"].read()
        except (IncompleteReadError, ReadTimeoutError, ResponseStreamingError):
            pass
    return _client(os.getpid()).get_object(Bucket=bucket, Key=key, Range=span)["Body"].read()


@lru_cache(maxsize=1)
def _client(process: int) -> Any:
    """A client for this process: its connections are not to be shared with one that it forks."""
    return boto3.client("s3", config=Config(retries={"mode": "standard", "max_attempts": ATTEMPTS}))


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _said(error: Exception) -> str:
    """An error's words on one line; a HEAD says no more of an expired token than that the request is bad."""
    bad = isinstance(error, ClientError) and _code(error) in ("400", "ExpiredToken")
    return cut(str(error)) + (" (has the session token expired?)" if bad else "")


def _split(address: str) -> tuple[str, str]:
    bucket, _, key = address.removeprefix("s3://").partition("/")
    return bucket, key

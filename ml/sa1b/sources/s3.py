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
    IncompleteReadError,
    ReadTimeoutError,
    ResponseStreamingError,
)

from ml.errors import UserError
from ml.sa1b.sources.transfer import CHUNK, PASSING, Body, TransferError, Version

ATTEMPTS = 5  # to read a range; boto3 waits longer before each


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
    except (BotoCoreError, ClientError) as error:
        raise UserError(f"{source}: can't be listed ({error}); check shards.source and the AWS variables") from error
    return [key.removeprefix(prefix) for key in keys if key.endswith(".tar")]


@contextmanager
def open_object(address: str, start: int, known: Version | None) -> Iterator[Body]:
    """The bytes of an object, from `start` on if it is still `known`, else from 0.

    Raises:
        TransferError: it failed in a way that may pass, also while the chunks are read.
        UserError: it is not there or not ours to read.
    """
    bucket, key = _split(address)
    client = boto3.client("s3")
    try:
        head = client.head_object(Bucket=bucket, Key=key)
        version = Version(head["ContentLength"], head["ETag"])
        start = start if version == known else 0
        span = {"Range": f"bytes={start}-"} if start else {}
        answer: dict[str, Any] = client.get_object(Bucket=bucket, Key=key, IfMatch=head["ETag"], **span)
        yield Body(start, version, answer["Body"].iter_chunks(CHUNK))
    except ClientError as error:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500)
        if status in PASSING - {401, 403, 404} or status >= 412:
            raise TransferError(f"{address}: {error}") from error
        raise UserError(f"{address}: {error}; check shards.source and the AWS variables") from error
    except BotoCoreError as error:
        raise TransferError(f"{address}: {error}") from error


def read_range(address: str, offset: int, nbytes: int) -> bytes:
    """`nbytes` of an object from `offset` on: one image out of a tar that stays where it is.

    Raises:
        UserError: they are not there, not ours to read, or do not come after several attempts.
    """
    bucket, key = _split(address)
    span = f"bytes={offset}-{offset + nbytes - 1}"
    try:
        data = _body(bucket, key, span)
    except (BotoCoreError, ClientError) as error:
        raise UserError(f"{address}: {span} can't be read ({error}); check the AWS variables") from error
    if len(data) != nbytes:
        raise UserError(f"{address}: {len(data)} bytes at {offset}, {nbytes} wanted; run mask_index for it again")
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


def _split(address: str) -> tuple[str, str]:
    bucket, _, key = address.removeprefix("s3://").partition("/")
    return bucket, key

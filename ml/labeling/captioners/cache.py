"""What an endpoint has answered, in a file that only grows: no question is paid for twice, whatever ends a run."""

import hashlib
import json
import os
from pathlib import Path

from pydantic import ValidationError

from ml.labeling.captioners.answers import Answer
from ml.params import OpenAi
from ml.workspace.atomic import told


class _Line(Answer):
    """A line of the file: a question's key, and its answer."""

    key: str


def question_key(asked: OpenAi, prompt: str, jpeg: bytes) -> str:
    """The digest of all that an answer depends on; how a crop was drawn is in its bytes."""
    parts = [asked.model, prompt, asked.temperature, asked.max_tokens, hashlib.sha256(jpeg).hexdigest()]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


class Cache:
    """Answers by the keys of their questions. `damaged`: lines that a killed run or a full disk left cut."""

    def __init__(self, path: Path) -> None:
        """Read what is there; nothing is written before there is an answer to keep."""
        self.path = path
        self.damaged = 0
        self._answers: dict[str, Answer] = {}
        self._whole: int | None = None  # bytes of the lines that are whole, where the last is not
        if path.exists():
            self._read(path.read_bytes())

    def __contains__(self, key: str) -> bool:
        return key in self._answers

    def __getitem__(self, key: str) -> Answer:
        return self._answers[key]

    def keep(self, key: str, answer: Answer) -> None:
        """Append an answer; it is with the system, out of this process's hands, when this returns.

        Raises:
            UserError: the disk is full, or nothing may be written there.
        """
        line = _Line(key=key, **answer.model_dump()).model_dump_json().encode() + b"\n"
        with told(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self._whole is not None:  # without what a killed run left of its last line
                os.truncate(self.path, self._whole)
                self._whole = None
            with self.path.open("ab") as file:
                file.write(line)
        self._answers[key] = answer

    def _read(self, data: bytes) -> None:
        end = data.rfind(b"\n") + 1
        if end < len(data):
            self._whole, self.damaged = end, 1
        for line in data[:end].splitlines():
            try:
                found = _Line.model_validate_json(line)
            except ValidationError:
                self.damaged += 1
                continue
            self._answers[found.key] = Answer(**found.model_dump(exclude={"key"}))

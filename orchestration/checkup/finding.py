"""One line of the checkup: what a look at one thing comes to."""

from collections.abc import Callable
from dataclasses import dataclass

from ml.errors import cut
from ml.workspace import Workspace
from ml.workspace.yamlfile import MOST_CHARACTERS


class AmissError(Exception):
    """Something that a check looked for is not as wanted, though a run may do; the text is what was found."""


@dataclass(frozen=True)
class Finding:
    """One line of the checkup; `state`: ok, warning or wrong."""

    name: str
    state: str
    found: str
    wanted: str
    mend: str

    def line(self) -> str:
        """What is said of it where it is not ok."""
        return f"{self.name}: {self.found}" + (f"; {self.mend}" if self.mend else "")


@dataclass(frozen=True)
class Check:
    """A look at one thing; it says what is found, and raises where that is wrong. ROOT in `mend`: the workspace.

    Without a `mend` what is raised ends with the way out, behind the last semicolon, as errors for users do.
    `first`: it is cheap, and what is wrong would else be met late in a run; `arrcoc run` looks at it before a stage.
    """

    name: str
    look: Callable[[Workspace], str]
    wanted: str
    mend: str
    first: bool = False

    def finding(self, ws: Workspace) -> Finding:
        """What the look comes to, whatever it raises."""
        try:
            return Finding(self.name, "ok", self.look(ws), self.wanted, "")
        except Exception as error:
            state = "warning" if isinstance(error, AmissError) else "wrong"
            found, mend = str(error) or type(error).__name__, self.mend.replace("ROOT", str(ws.root))
            if not mend and "; " in found:
                found, _, mend = found.rpartition("; ")
            return Finding(self.name, state, cut(found, MOST_CHARACTERS), self.wanted, cut(mend, MOST_CHARACTERS))

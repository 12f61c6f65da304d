"""Where things lie and what they were made from: `dvc.yaml` and `params.yaml` typed, keys, atomic writes, lineage.

The ground floor: imports `ml.params` and `ml.errors` alone.
"""

from ml.workspace.layout import Workspace

__all__ = ["Workspace"]

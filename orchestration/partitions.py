"""Shards, shard groups, and the mapping between them.

Groups keep every edge of the graph below the 100 upstream partitions at which Dagster stops comparing data versions.
"""

from dataclasses import dataclass

import dagster as dg

from ml.params import Params
from ml.sa1b import sharding
from ml.workspace import Workspace
from ml.workspace.stages import Stage


@dataclass(frozen=True)
class Partitions:
    """The partitions of the sharded stages."""

    shards: dg.StaticPartitionsDefinition
    groups: dg.StaticPartitionsDefinition
    shards_to_groups: dg.StaticPartitionMapping

    def of(self, stage: Stage) -> dg.StaticPartitionsDefinition | None:
        """A stage's partitions; None where it is made as one piece."""
        return {None: None, "shard": self.shards, "group": self.groups}[stage.per]

    def mapping(self, upstream: Stage, stage: Stage) -> dg.PartitionMapping | None:
        """How a stage's partitions depend on those of one above; None: one to one, or all."""
        return self.shards_to_groups if (upstream.per, stage.per) == ("shard", "group") else None


def partitions(ws: Workspace, params: Params) -> Partitions:
    """The shards of the source and their groups.

    Raises:
        UserError: the source cannot be listed.
    """
    shards = sharding.partitions("sa1b_shards", ws, params)
    groups = sharding.group_shards(shards, params.shards.group_size)
    group_of = {shard: group for group, members in groups.items() for shard in members}
    return Partitions(
        dg.StaticPartitionsDefinition(shards),
        dg.StaticPartitionsDefinition(list(groups)),
        dg.StaticPartitionMapping(group_of),
    )

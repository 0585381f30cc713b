"""Run inside a SLURM job: hands over a drill's training from there."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.slurm.cluster import Cluster
from tests.slurm.drill import Drill, drill_run
from tests.slurm.settings import ClusterSettings

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    nobody = Cluster(ClusterSettings(folder=folder, port=0))  # SLURM_CONF is in the environment already
    print(Drill(cluster=nobody, folder=folder, run=drill_run(2)).submit())

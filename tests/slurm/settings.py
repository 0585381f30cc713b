"""The configuration of a throw-away SLURM cluster on one machine, and why each line is as it is."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class ClusterSettings:
    """One cluster. Several run side by side when folder and port differ (by at least 64)."""

    folder: Path
    """Configuration, state, logs, keys, database. A short path: sockets are in it."""
    port: int
    """Of slurmctld; +1 is slurmdbd's, +10+N slurmd's of node N."""
    nodes: int = 2
    gpus: int = 8
    """Per node, pretended: each device is /dev/null."""
    cpus: int = 16
    """Per node, pretended."""
    memory_mib: int = 64_000
    """Per node, pretended."""
    accounting: Literal["slurmdbd", "none"] = "slurmdbd"
    separate_networks: bool = True
    """Each node in a network of its own, which can be cut; needs CAP_NET_ADMIN."""
    small_disk_mib: int = 40
    """Size of the disk ``small`` in the folder, which every node sees."""
    slurmd_timeout_s: int = 10
    """A node that does not answer for so long is down (it shows after about 28 s)."""
    grace_s: int = 20
    """Between preemption and the kill, in the partition ``low``."""
    kill_wait_s: int = 10
    """Between TERM and KILL."""
    requeue_wait_s: int = 5
    """How long a job that was put back waits at least (SLURM's own default: 120 s)."""

    @property
    def subnet(self) -> str:
        """First three numbers of the nodes' addresses."""
        return f"10.{100 + self.port // 64 % 100}.0"

    @property
    def prefix(self) -> str:
        """Of the names of bridge, links and network namespaces (at most 15 characters with what follows)."""
        return f"sb{self.port}"

    @property
    def host(self) -> str:
        """This machine's name."""
        return socket.gethostname().partition(".")[0]

    @property
    def controller_address(self) -> str:
        """Where slurmctld and slurmdbd listen: never on all interfaces."""
        return f"{self.subnet}.254" if self.separate_networks else "127.0.0.1"

    def address(self, node: int) -> str:
        """Of node ``node`` (1, 2, ...)."""
        return f"{self.subnet}.{node}" if self.separate_networks else "127.0.0.1"

    @property
    def small_disk(self) -> Path:
        """A disk that is soon full."""
        return self.folder / "small"

    @property
    def munge_socket(self) -> Path:
        """The cluster's own; the machine's munge, if it has one, is left alone."""
        return self.folder / "munge" / "munge.socket"


def files(settings: ClusterSettings) -> dict[str, str]:
    """Every configuration file by name."""
    numbers = range(1, settings.nodes + 1)
    hosts = ["127.0.0.1 localhost", f"{settings.controller_address} {settings.host}"]
    hosts += [f"{settings.address(node)} node{node}" for node in numbers]
    gres = [
        "AutoDetect=off",
        f"NodeName=node[1-{settings.nodes}] Name=gpu File={settings.folder}/dev/nvidia[0-{settings.gpus - 1}] "
        f"Flags=nvidia_gpu_env",
    ]
    # Named although unused: looking for it, slurmd fails where /sys/fs/cgroup is not mounted. ConstrainDevices would
    # take /dev/null from every process.
    cgroup = ["CgroupPlugin=cgroup/v1", "CgroupMountpoint=/sys/fs/cgroup", "ConstrainDevices=no"]
    return {
        "slurm.conf": _slurm_conf(settings),
        "hosts": "\n".join(hosts) + "\n",
        "gres.conf": "\n".join(gres) + "\n",
        "cgroup.conf": "\n".join(cgroup) + "\n",
        "slurmdbd.conf": _slurmdbd_conf(settings),
    }


def _slurm_conf(settings: ClusterSettings) -> str:
    folder = settings.folder
    # In a network of its own a node cannot reach what srun on the host listens on at 127.0.0.1.
    listen = "NoCtldInAddrAny" + ("" if settings.separate_networks else ",NoInAddrAny")
    lines = [
        "ClusterName=drills",
        f"SlurmctldHost={settings.host}({settings.controller_address})",
        f"SlurmctldPort={settings.port}",
        "SlurmUser=root",
        "SlurmdUser=root",
        "AuthType=auth/munge",
        "CredType=cred/munge",
        f"AuthInfo=socket={settings.munge_socket},cred_expire={settings.requeue_wait_s}",
        f"CommunicationParameters={listen}",
        f"StateSaveLocation={folder}/state",
        f"SlurmdSpoolDir={folder}/spool/%n",
        f"SlurmctldPidFile={folder}/run/slurmctld.pid",
        f"SlurmdPidFile={folder}/run/slurmd.%n.pid",
        f"SlurmctldLogFile={folder}/log/slurmctld.log",
        f"SlurmdLogFile={folder}/log/slurmd.%n.log",
        "SlurmctldDebug=info",
        "SlurmdDebug=info",
        "MailProg=/bin/true",
        "MpiDefault=none",
        "SwitchType=switch/none",
        "GresTypes=gpu",
        "SelectType=select/cons_tres",
        "SelectTypeParameters=CR_Core_Memory",
        "DefMemPerCPU=3000",  # of a rank, which takes about 1 GB; without it every job takes all memory of its node
        "SlurmdParameters=config_overrides",  # more CPUs and memory than the machine has
        "SlurmctldParameters=preempt_send_user_signal",  # USR2 on preemption, not TERM alone
        "PreemptType=preempt/partition_prio",
        "PreemptMode=REQUEUE",
        "JobRequeue=1",
        "ReturnToService=2",
        f"SlurmdTimeout={settings.slurmd_timeout_s}",
        "SlurmctldTimeout=10",
        f"KillWait={settings.kill_wait_s}",
        "UnkillableStepTimeout=60",
        "SchedulerType=sched/backfill",
        "SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1",
        f"FirstJobId={int(time.time()) % 600_000 * 100 + 1}",  # so that no number comes twice in one folder
        "JobAcctGatherType=jobacct_gather/linux",
        "JobAcctGatherFrequency=task=1",
        "ProctrackType=proctrack/linuxproc",
        "TaskPlugin=task/none",
        "JobAcctGatherParams=OverMemoryKill",
    ]
    return "\n".join([*lines, *_accounting(settings), *_nodes(settings)]) + "\n"


def _accounting(settings: ClusterSettings) -> list[str]:
    if settings.accounting == "none":
        return ["MinJobAge=86400", "AccountingStorageType=accounting_storage/none"]
    return [
        "MinJobAge=300",
        "AccountingStorageType=accounting_storage/slurmdbd",
        f"AccountingStorageHost={settings.controller_address}",
        f"AccountingStoragePort={settings.port + 1}",
        f"AccountingStoragePass={settings.munge_socket}",  # not AuthInfo names the socket on the way there
        "AccountingStorageTRES=gres/gpu",
    ]


def _nodes(settings: ClusterSettings) -> list[str]:
    each = f"CPUs={settings.cpus} RealMemory={settings.memory_mib} Gres=gpu:{settings.gpus}"
    partition = "Nodes=ALL MaxTime=INFINITE DefaultTime=60 State=UP"
    return [
        *(
            f"NodeName=node{node} NodeHostname=node{node} NodeAddr={settings.address(node)} "
            f"Port={settings.port + 10 + node} {each}"
            for node in range(1, settings.nodes + 1)
        ),
        f"PartitionName=main {partition} Default=YES PriorityTier=10 PreemptMode=OFF",
        f"PartitionName=low {partition} PriorityTier=1 PreemptMode=REQUEUE GraceTime={settings.grace_s}",
    ]


def _slurmdbd_conf(settings: ClusterSettings) -> str:
    lines = [
        "DbdHost=localhost",
        f"DbdAddr={settings.controller_address}",
        f"DbdPort={settings.port + 1}",
        "SlurmUser=root",
        "AuthType=auth/munge",
        f"AuthInfo=socket={settings.munge_socket}",
        "CommunicationParameters=NoInAddrAny",
        "StorageType=accounting_storage/mysql",
        "StorageHost=localhost",
        "StorageUser=root",
        "StorageLoc=slurm_acct",
        f"LogFile={settings.folder}/log/slurmdbd.log",
        f"PidFile={settings.folder}/run/slurmdbd.pid",
        "DebugLevel=info",
    ]
    return "\n".join(lines) + "\n"

"""A throw-away SLURM cluster on this machine: true daemons, several nodes, pretended GPUs, no service touched.

A node is a set of namespaces (mounts, host name, processes, and where possible network) around one slurmd. Killing the
one process that holds them is a power cut: slurmd, job steps and tasks are gone at once. Every daemon ends with the
process that started the cluster, however that ends.

    python -m tests.slurm.cluster       # a cluster to play with, until Enter
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from tests.slurm.settings import ClusterSettings, files

ABLE = ("idle", "mixed", "allocated", "completing")
"""States in which a node can take jobs."""
DAEMONS = ("slurmctld", "slurmd", "munged", "sbatch")
_SEARCH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
_PR_SET_PDEATHSIG = 1
_NODE = r"""
mount --bind "$1/hosts" /etc/hosts; hostname "node$2"
[ -d /etc/slurm ] && mount --bind "$1" /etc/slurm   # as on a real node: found without SLURM_CONF too
slurmd -D -N "node$2" &
while true; do wait -n || sleep 0.2; done           # the node outlives its slurmd, and reaps what is left over
"""
_OWN_HOSTS = 'mount --bind "$0" /etc/hosts && exec "$@"'


class ClusterError(RuntimeError):
    """The cluster did not do what it was told."""


def absent() -> str:
    """Why no cluster can be started here, or nothing."""
    if os.geteuid() != 0:
        return "a SLURM cluster of namespaces needs root"
    missing = [name for name in DAEMONS if shutil.which(name, path=_SEARCH) is None]
    return f"not installed: {', '.join(missing)} (tests/slurm/install.sh installs them)" if missing else ""


class Cluster:
    """One cluster, from :meth:`start` to :meth:`stop`."""

    def __init__(self, settings: ClusterSettings) -> None:
        self.settings = settings
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def environment(self) -> dict[str, str]:
        """Variables that SLURM's commands need to find this cluster."""
        return {"SLURM_CONF": str(self.settings.folder / "slurm.conf"), "PATH": _SEARCH}

    def command(self, *words: str, check: bool = True, timeout_s: float = 60.0) -> str:
        """Standard output of one of SLURM's commands. Raises ClusterError with what it said."""
        done = subprocess.run(
            words, env={**os.environ, **self.environment}, capture_output=True, text=True, timeout=timeout_s
        )
        if check and done.returncode != 0:
            raise ClusterError(f"{' '.join(words)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout.strip()

    def start(self) -> None:
        """Start everything; what was started is stopped again where that fails."""
        try:
            self._write_files()
            self.settings.small_disk.mkdir()  # now: a node sees no mount that is younger than itself
            run("mount", "-t", "tmpfs", "-o", f"size={self.settings.small_disk_mib}m", "tmpfs", self._small_disk)
            self._networks_up()
            self._start_munge()
            if self.settings.accounting == "slurmdbd":
                self._start_accounting()
            self.start_controller()
            for node in self.nodes:
                self.start_node(node)
            self.wait_for_nodes(*self.nodes)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End every process, power cut first; no process, link or namespace stays."""
        for name in sorted(self._processes, key=lambda name: not name.startswith("node")):
            hard = name.startswith("node")
            self._end(name, signal.SIGKILL if hard else signal.SIGTERM, wait_s=20.0)
        self._networks_down()
        if self.settings.small_disk.is_mount():
            run("umount", "--lazy", self._small_disk)

    @property
    def nodes(self) -> range:
        """Numbers of the nodes."""
        return range(1, self.settings.nodes + 1)

    def start_node(self, node: int) -> None:
        """Switch a node on."""
        name = f"node{node}"
        (self.settings.folder / "spool" / name).mkdir(parents=True, exist_ok=True)
        into = [f"nsenter --net=/run/netns/{self.settings.prefix}n{node}"] if self.settings.separate_networks else []
        # The one process to kill. Not "ip netns exec", which mounts a /sys of its own without cgroups.
        apart = "unshare --mount --uts --ipc --pid --fork --kill-child=KILL --mount-proc bash -c"
        words = " ".join([*into, apart]).split()
        self._start(name, [*words, _NODE, "node", str(self.settings.folder), str(node)])

    def kill_node(self, node: int) -> None:
        """Pull a node's plug."""
        self._end(f"node{node}", signal.SIGKILL)

    def kill_slurmd(self, node: int) -> None:
        """Kill a node's slurmd alone; its job steps go on."""
        os.kill(self.slurmd(node), signal.SIGKILL)

    def slurmd(self, node: int) -> int:
        """Process id of a node's slurmd."""
        for pid in descendants(self.process_of(node).pid):
            with contextlib.suppress(OSError):
                if Path(f"/proc/{pid}/comm").read_text().strip() == "slurmd":
                    return pid
        raise ClusterError(f"node{node} has no slurmd")

    def process_of(self, node: int) -> subprocess.Popen[bytes]:
        """The process that holds a node; all of the node's are below it."""
        return self._processes[f"node{node}"]

    def cut_node(self, node: int) -> None:
        """Take the network from a node; its processes and its disks go on."""
        run("ip", "link", "set", f"{self.settings.prefix}v{node}", "down")

    def join_node(self, node: int) -> None:
        """Give it back."""
        run("ip", "link", "set", f"{self.settings.prefix}v{node}", "up")

    def start_controller(self) -> None:
        """Start slurmctld, with the state of the one before if there was one."""
        self._start("slurmctld", ["slurmctld", "-D"], own_hosts=True)
        self._until(lambda: "is UP" in self.command("scontrol", "ping", check=False), 30, "slurmctld")

    def stop_controller(self) -> None:
        """End slurmctld as an administrator would: it saves its state."""
        self._end("slurmctld", signal.SIGTERM, wait_s=20.0)

    def states(self) -> dict[int, str]:
        """The state of every node in SLURM's word; one that does not answer has a ``*``."""
        lines = self.command("sinfo", "-h", "-N", "-p", "main", "-o", "%N %T", check=False).splitlines()
        words = dict(line.split()[:2] for line in lines)
        return {node: words.get(f"node{node}", "unknown") for node in self.nodes}

    def wait_for_nodes(self, *nodes: int, timeout_s: float = 60.0) -> None:
        """Until all these can take jobs."""
        self._until(lambda: all(self.states()[node] in ABLE for node in nodes), timeout_s, "slurmd")

    def rest(self) -> None:
        """Cancel all jobs and bring every node back, for the next test."""
        if "slurmctld" not in self._processes:
            self.start_controller()
        self.command("scancel", "--quiet", "-u", "root", check=False)
        for node in self.nodes:
            if self.settings.separate_networks:
                self.join_node(node)
            if self.states()[node].startswith(("down", "drain")) or not self._has_slurmd(node):
                self._switch_off_and_on(node)
        self.wait_for_nodes(*self.nodes)
        self._until(lambda: not self.command("squeue", "-h", "-o", "%i", check=False), 90, "slurmctld")

    def _has_slurmd(self, node: int) -> bool:
        try:
            self.slurmd(node)
        except (ClusterError, KeyError):
            return False
        return True

    def _switch_off_and_on(self, node: int) -> None:
        """A node that was lost: SLURM is told at once what it would notice only after a while."""
        self.command("scontrol", "update", f"nodename=node{node}", "state=down", "reason=rest", check=False)
        self.kill_node(node)
        self.start_node(node)
        self.command("scontrol", "update", f"nodename=node{node}", "state=resume", check=False)

    @property
    def _small_disk(self) -> str:
        return str(self.settings.small_disk)

    def _write_files(self) -> None:
        folder = self.settings.folder
        for name in ("munge", "state", "spool", "log", "dev", "run", "db/data"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        for index in range(self.settings.gpus):
            device = folder / "dev" / f"nvidia{index}"
            if not device.is_symlink():
                device.symlink_to("/dev/null")
        for name, text in files(self.settings).items():
            path = folder / name
            path.write_text(text)
            path.chmod(0o600 if name == "slurmdbd.conf" else 0o644)
        key = folder / "munge" / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(os.urandom(128))

    def _start_munge(self) -> None:
        munge, place = self.settings.munge_socket, self.settings.folder / "munge"
        parts = [f"--{what}-file={place}/munge{ending}" for what, ending in (("key", ".key"), ("pid", "d.pid"))]
        parts += [f"--log-file={place}/munged.log", f"--seed-file={place}/munged.seed"]
        self._start("munged", ["munged", "--foreground", f"--socket={munge}", "--num-threads=2", *parts])
        self._until(lambda: succeeds("munge", f"--socket={munge}", "--no-input"), 20, "munged")

    def _start_accounting(self) -> None:
        database, log = self.settings.folder / "db", self.settings.folder / "log"
        # Without grant tables an empty folder will do: no installation of system tables, no user, no password.
        options = (
            f"--datadir={database}/data --socket={database}/mysql.sock --pid-file={database}/mysql.pid --user=root "
            f"--skip-networking --skip-grant-tables --performance-schema=off --innodb-buffer-pool-size=64M "
            f"--innodb-log-file-size=16M --innodb-doublewrite=0 --innodb-flush-log-at-trx-commit=0 "
            f"--innodb-lock-wait-timeout=900 --log-error={log}/mariadb.log"
        )
        self._start("mariadbd", ["mariadbd", "--no-defaults", *options.split()])
        socket_option = f"--socket={database}/mysql.sock"
        self._until(lambda: succeeds("mariadb", "--no-defaults", socket_option, "-e", "select 1"), 60, "mariadbd")
        self._start("slurmdbd", ["slurmdbd", "-D"], own_hosts=True, MYSQL_UNIX_PORT=f"{database}/mysql.sock")
        self._until(lambda: not self._fails("sacctmgr", "-n", "show", "cluster"), 60, "slurmdbd")
        self.command("sacctmgr", "-i", "add", "cluster", "drills")

    def _fails(self, *words: str) -> bool:
        try:
            self.command(*words)
        except ClusterError:
            return True
        return False

    def _networks_up(self) -> None:
        if not self.settings.separate_networks:
            return
        self._networks_down()
        prefix, subnet = self.settings.prefix, self.settings.subnet
        run("ip", "link", "add", f"{prefix}br", "type", "bridge")
        run("ip", "addr", "add", f"{subnet}.254/24", "dev", f"{prefix}br")
        run("ip", "link", "set", f"{prefix}br", "up")
        for node in self.nodes:
            inside, outside = f"{prefix}n{node}", f"{prefix}v{node}"
            run("ip", "netns", "add", inside)
            run("ip", "link", "add", outside, "type", "veth", "peer", "name", "eth0", "netns", inside)
            run("ip", "link", "set", outside, "master", f"{prefix}br", "up")
            run("ip", "-n", inside, "addr", "add", f"{subnet}.{node}/24", "dev", "eth0")
            run("ip", "-n", inside, "link", "set", "eth0", "up")
            run("ip", "-n", inside, "link", "set", "lo", "up")

    def _networks_down(self) -> None:
        if self.settings.separate_networks:
            for node in self.nodes:
                succeeds("ip", "link", "del", f"{self.settings.prefix}v{node}")
                succeeds("ip", "netns", "del", f"{self.settings.prefix}n{node}")
            succeeds("ip", "link", "del", f"{self.settings.prefix}br")

    def _start(self, name: str, words: Sequence[str], *, own_hosts: bool = False, **variables: str) -> None:
        if name in self._processes:
            raise ClusterError(f"{name} runs already")
        if own_hosts:  # the machine's own /etc/hosts stays untouched; everything execs, so the process stays the same
            words = ["unshare", "--mount", "bash", "-c", _OWN_HOSTS, str(self.settings.folder / "hosts"), *words]
        with (self.settings.folder / "log" / f"{name}.out").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                words,
                env={**os.environ, **self.environment, **variables},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_die_with_the_parent,
            )

    def _end(self, name: str, number: signal.Signals, wait_s: float = 10.0) -> None:
        process = self._processes.pop(name, None)
        if process is None:
            return
        process.send_signal(number)
        try:
            process.wait(wait_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _until(self, ready: Callable[[], bool], seconds: float, who: str) -> None:
        deadline = time.monotonic() + seconds
        while not ready():
            if time.monotonic() > deadline:
                logs = sorted((self.settings.folder / "log").glob(f"{who}*"))
                ends = "\n".join(f"{path}:\n{path.read_text(errors='replace')[-1500:]}" for path in logs)
                raise ClusterError(f"{who} was not ready after {seconds:.0f} s\n{ends}")
            time.sleep(0.05)


_libc = ctypes.CDLL(None)


def _die_with_the_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def descendants(pid: int) -> list[int]:
    """Every process below ``pid``."""
    parents: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            parents.setdefault(int(fields[1]), []).append(int(path.parent.name))
    found, todo = [], [pid]
    while todo:
        children = parents.get(todo.pop(), [])
        found += children
        todo += children
    return found


def run(*words: str) -> None:
    """Raises ClusterError with what the command said."""
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode != 0:
        raise ClusterError(f"{' '.join(words)}: {done.stderr.strip()}")


def succeeds(*words: str) -> bool:
    """Whether the command ends with status 0."""
    return subprocess.run(words, capture_output=True).returncode == 0


def free_port(first: int = 17_300) -> int:
    """A port that leaves room for a cluster's."""
    for port in range(first, first + 64 * 100, 64):
        with contextlib.ExitStack() as stack:
            try:
                for number in (port, port + 1, port + 11, port + 12):
                    stack.enter_context(socket.socket()).bind(("0.0.0.0", number))
            except OSError:
                continue
            if not Path(f"/run/netns/sb{port}n1").exists():
                return port
    raise ClusterError("no free ports for a cluster")


def can_separate_networks() -> bool:
    """Whether links and network namespaces can be made here."""
    name = f"sbtry{os.getpid() % 100_000}"
    if shutil.which("ip") is None or not succeeds("ip", "link", "add", name, "type", "bridge"):
        return False
    return succeeds("ip", "link", "del", name)


@contextlib.contextmanager
def running_cluster(**settings: object) -> Iterator[Cluster]:
    """A cluster in a folder of its own, for the block."""
    folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))
    folder.chmod(0o755)
    given: Mapping[str, object] = {"separate_networks": can_separate_networks(), **settings}
    cluster = Cluster(ClusterSettings(folder=folder, port=free_port(), **given))  # type: ignore[arg-type]
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    if problem := absent():
        sys.exit(problem)
    with running_cluster() as shown:
        print(f"export SLURM_CONF={shown.environment['SLURM_CONF']}\n{shown.command('sinfo', '-N', '-l')}")
        with contextlib.suppress(KeyboardInterrupt):
            input("Enter stops it. ")

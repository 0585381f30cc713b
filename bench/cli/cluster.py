"""Verbs of a cluster: cluster check, cluster keys, cluster cost."""

from __future__ import annotations

from typing import Annotated

import typer

from bench.cli.common import DataOption, SeedsOption, StudyArgument, store_in, study_of
from bench.cli.options import DEFAULT_STORE, GpusOption, NodesOption, ProfileOption, StoreOption

_STYLES = {"ok": "green", "note": "yellow", "FAIL": "red"}


def register(app: typer.Typer) -> None:
    """Add this module's verbs to the command line."""
    cluster = typer.Typer(
        name="cluster",
        help="Try a cluster profile on its cluster; list what a profile may say; tell what a study costs.",
        no_args_is_help=True,
    )
    cluster.command("check")(check)
    cluster.command("keys")(keys)
    cluster.command("cost")(cost)
    app.add_typer(cluster)


def check(
    profile: ProfileOption = None,
    store: StoreOption = DEFAULT_STORE,
    nodes: NodesOption = None,
    gpus_per_node: GpusOption = None,
    timeout: Annotated[int, typer.Option(help="Seconds to wait for the probe, its time in the queue included.")] = 900,
) -> None:
    """Submit a one-minute probe the way every job is submitted, and say what works.

    Nodes and ranks, the GPUs that each rank sees, the frozen code, data folders, all-reduce with gloo and nccl, the
    shared file system, signals, requeueing, accounting; each failure with what to do.
    """
    from rich.console import Console
    from rich.text import Text

    from bench.cli.slurm import profile_for, shape_from
    from bench.launching.slurm.check import check_cluster
    from bench.store import Store

    chosen = profile_for(profile)
    shape = shape_from(chosen, nodes, gpus_per_node)
    console = Console()
    print(f"profile {chosen.name}: {shape.nodes} node(s) x {shape.gpus_per_node} GPUs = {shape.ranks} ranks")
    verdicts = check_cluster(
        chosen, Store(store), shape, timeout_s=timeout, tell=lambda text: print(f"  {text}", flush=True)
    )
    for verdict in verdicts:
        line = Text(f"{verdict.level:4}  ", style=_STYLES[verdict.level])
        line.append(f"{verdict.what}: ", style="bold")
        line.append(verdict.found, style="default")
        console.print(line, soft_wrap=True)
        if verdict.remedy:
            console.print(Text(f"      -> {verdict.remedy}"), soft_wrap=True)
    failures = sum(1 for verdict in verdicts if verdict.level == "FAIL")
    if failures:
        print(f"{failures} of {len(verdicts)} do not work yet")
        raise typer.Exit(1)
    print(f"all is well: ./run_study.py run STUDY --backend slurm --profile {profile}")


def keys() -> None:
    """List every key of a cluster profile with its default and what it means."""
    from bench.cli.catalogue import print_table
    from bench.launching.profile import explained

    print_table([{"key": key, "default": default, "meaning": meaning} for key, default, meaning in explained()])
    print("\nexamples: profiles/*.toml; docs/cluster.md tells how to begin")


def cost(
    name: StudyArgument, store: StoreOption = DEFAULT_STORE, data: DataOption = None, seeds: SeedsOption = None
) -> None:
    """Tell what each row of a study costs in GPU-hours, from the speed at which its runs were measured.

    Start the study (a few hundred steps are enough), then ask. Rows that have not run yet are said to be unknown.
    """
    from bench.cli.catalogue import print_table
    from bench.cost import study_costs

    opened = store_in(store)
    costs = study_costs(study_of(name, data, seeds, opened), opened)
    print_table(
        [
            {
                "row": item.label,
                "data set": item.dataset,
                "runs": item.runs,
                "images a run": f"{item.images:,}",
                "images/s": f"{item.images_per_s:.1f}" if item.images_per_s else "not measured",
                "ranks": f"{item.ranks} {'GPUs' if item.on_gpus else 'CPU'}" if item.images_per_s else "",
                "GiB": f"{item.memory_gib:.1f}" if item.memory_gib is not None else "",
                "hours a run": f"{item.hours:.1f}" if item.hours is not None else "",
                "GPU-hours in all": f"{item.runs * item.rank_hours:.0f}" if item.rank_hours and item.on_gpus else "",
            }
            for item in costs
        ]
    )
    known = [item for item in costs if item.rank_hours is not None and item.on_gpus]
    total = sum(item.runs * (item.rank_hours or 0.0) for item in known)
    print(f"\n{total:.0f} GPU-hours of training for {len(known)} of {len(costs)} rows; judging is not in it")
    if len(known) < len(costs):
        print("the others have not run on GPUs yet: a few hundred steps of each are enough to know")

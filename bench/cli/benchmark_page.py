"""The results of a benchmark in words."""

from __future__ import annotations

from typing import Any


def page(result: dict[str, Any]) -> str:
    """One benchmark's result, several lines."""
    lines = [*_PAGES[result["benchmark"]](result), *_profile(result.get("profile"))]
    if "environment" in result:
        lines.append(_measured_on(result))
    return "\n".join(lines) + "\n"


def _generator(result: dict[str, Any]) -> list[str]:
    mode = "training mode" if result["training_mode"] else "eval mode"
    lines = [
        f"SPADE generator, forward, {mode}: {_input(result)}",
        _ratio(result) + f" (by batch {result['ratio_least']:.2f} to {result['ratio_most']:.2f}), "
        f"largest difference of two images {result['max_abs_diff']:.1e}",
    ]
    lines += [
        f"{label} {result[name]:.3f} s, {result[name] / result['reference_s']:.2f} of the reference"
        for name, label in (("plain_s", "our plain formulation"), ("third_party_s", "third party's generator"))
        if name in result
    ]
    return lines + _distinct(result)


def _distinct(result: dict[str, Any]) -> list[str]:
    return [
        "distinct neighbourhoods, percent of the pixels: of one convolution, of two (mean, most)",
        *(
            f"  {size:>9} px " + " ".join(f"{share:7.2f}" for share in shares.values())
            for size, shares in result["distinct"].items()
        ),
    ]


def _operations(result: dict[str, Any]) -> list[str]:
    parts = [
        f"  {name:<16} {before:9.2f} {result['fast_gflop_of'][name]:9.2f}"
        for name, before in result["reference_gflop_of"].items()
    ]
    return [
        f"SPADE generator, operations of a forward pass: {_input(result)}",
        f"reference {result['reference_gflop']:.1f} GFLOP, fast {result['fast_gflop']:.1f} GFLOP: "
        f"{result['ratio']:.2f} times fewer (by batch {result['ratio_least']:.2f} to {result['ratio_most']:.2f})",
        "GFLOP by what is convolved: reference, fast",
        *parts,
        *_distinct(result),
    ]


def _step(result: dict[str, Any]) -> list[str]:
    options = [name for name in ("compiled", "perceptual") if result[name]]
    lines = [
        f"training step of {result['variant']}: {_input(result)}, {', '.join([result['precision'], *options])}",
        f"{_ratio(result)}, {result['images_per_s']:.3f} images/s",
    ]
    if "peak_ratio" in result:
        lines.append(
            f"peak memory: reference {result['reference_peak_mib']} MiB, fast {result['fast_peak_mib']} MiB: "
            f"{result['peak_ratio']:.2f} of it ({result['peak_is']})"
        )
    total = result["fast_s"]
    lines.append("where the fast step's time goes:")
    lines += [f"  {name:<45} {s:7.3f} s {s / total:6.1%}" for name, s in result["seconds_of"].items()]
    return lines


def _loader(result: dict[str, Any]) -> list[str]:
    where = f"in {result['workers']} processes" if result["workers"] else "in the process itself"
    lines = [f"loader, batches of {result['batch_images']}, {where}:"]
    return lines + [
        f"  {row['dataset']}/{row['split']}: {row['images']} images in {row['seconds']:.2f} s: "
        f"{row['images_per_s']:.1f} images/s, {row['images_per_s_and_process']:.1f} a process"
        for row in result["splits"]
    ]


def _fid(result: dict[str, Any]) -> list[str]:
    return [
        f"Frechet distance of {result['images']} x {result['dimensions']} features: {_ratio(result)}",
        f"  means and covariances: {_ratio(result['moments'])}",
        f"  from these to the distance (pytorch-fid's function alone): {_ratio(result['function'])}",
        f"distance {result['distance']:.6f}, relative difference {result['difference']:.1e}",
    ]


def _evaluation(result: dict[str, Any]) -> list[str]:
    height, width = result["size"]
    total, images = result["seconds"], result["images"]
    lines = [
        f"evaluation of {images} images of {height} x {width} px ({result['dataset']}/{result['split']}) by "
        f"{result['protocol']}: {total:.1f} s, {1000 * total / images:.1f} ms an image",
        "where the time goes:",
    ]
    stages = {**result["seconds_of"], "other": total - sum(result["seconds_of"].values())}
    lines += [
        f"  {name:<30} {seconds:8.2f} s {seconds / total:6.1%} {1000 * seconds / images:7.1f} ms an image"
        for name, seconds in sorted(stages.items(), key=lambda item: -item[1])
    ]
    lines += [
        f"  {name}: not computed ({score['reason']})" for name, score in result["scores"].items() if score["reason"]
    ]
    threads = result["reading_threads"]
    lines.append(
        f"reading {result['read_images']} pairs alone: {result['reference_s']:.2f} s in the process itself, "
        f"{result['fast_s']:.2f} s with {threads} threads: {result['ratio']:.2f} times as fast"
    )
    return lines


_PAGES = {
    "generator": _generator,
    "operations": _operations,
    "step": _step,
    "loader": _loader,
    "fid": _fid,
    "evaluation": _evaluation,
}


def _input(result: dict[str, Any]) -> str:
    height, width = result["size"]
    return f"{result['maps']}, {result['batch_images']} x {result['channels']} channels x {height} x {width} px"


def _ratio(result: dict[str, Any]) -> str:
    return (
        f"reference {result['reference_s']:.3f} s, fast {result['fast_s']:.3f} s: {result['ratio']:.2f} times as fast"
    )


def _profile(profiles: dict[str, list[dict[str, Any]]] | None) -> list[str]:
    lines: list[str] = []
    for name, rows in (profiles or {}).items():
        lines.append(f"operations of the {name} one, longest first:")
        lines += [
            f"  {row['operation'][:45]:<45} {row['seconds']:7.3f} s {row['share']:6.1%} {row['calls']:6} calls"
            for row in rows
        ]
    return lines


def _measured_on(result: dict[str, Any]) -> str:
    place = result["environment"]
    device = ", ".join(place["gpus"]) or f"{place['processor']}, {place['threads']} threads"
    dirty = " with uncommitted changes" if place["uncommitted_changes"] else ""
    load = ", ".join(f"{value:.1f}" for value in place["load_average"])
    return (
        f"measured on {device}, {place['clock']} time, load {load} (of 1, 5, 15 min), "
        f"torch {place['packages']['torch']}, commit {(place['commit'] or 'unknown')[:12]}{dirty}"
    )

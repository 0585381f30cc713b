"""Any network of mmsegmentation as a judge: a config, a checkpoint, and the config's own test procedure."""

from __future__ import annotations

import difflib
import importlib.util
import pickle
import warnings
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bench.evaluation.generate import exact_float32
from bench.evaluation.judges.checkpoint import CheckpointError, load_strictly, read_tensors_only, state_dict_of
from bench.evaluation.judges.mmcv_stand_in import compiled_operators_of, ensure_mmseg
from bench.evaluation.judges.published import fresh_model
from bench.evaluation.judges.registry import Judge
from bench.evaluation.judges.restricted_pickle import read_without_code
from bench.evaluation.weights import file_sha256

_OTHER_PACKAGES = ("mmpretrain", "mmdet", "mmcls")


class ConfigError(ValueError):
    """A config of mmsegmentation that cannot be found, or not be built here."""


def build_mmseg_judge(config: Path | str, checkpoint: Path, device: torch.device) -> Judge:
    """A judge from an mmsegmentation config (a path, or a name within the installed package) and its checkpoint.

    The test is the config's own: its test pipeline, normalisation, and whole or sliding windows; logits are then
    resized to the asked size as mmsegmentation does (bilinear). A config is Python and is run, as mmsegmentation
    itself does; a checkpoint is only read. Raises ConfigError, CheckpointError (both ValueErrors).
    """
    ensure_mmseg()
    path = find_config(config)
    settings = _read_config(path)
    model = _build_model(settings, path)
    content = _read_checkpoint(checkpoint)
    load_strictly(model, state_dict_of(content, checkpoint), source=str(checkpoint))
    classes = int(model.num_classes)  # type: ignore[arg-type]
    names = _class_names(content, settings)
    if names and len(names) != classes:
        raise CheckpointError(f"{checkpoint}: names {len(names)} classes, the network of {path} has {classes}")
    model.to(device)
    pipeline = _test_pipeline(settings, path)

    def label(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.int64]:
        data: Any = {"img": np.ascontiguousarray(image[..., ::-1])}
        for transform in pipeline:
            data = transform(data)
        data["data_samples"].set_metainfo({"ori_shape": tuple(size)})
        flags = torch.backends.cudnn.flags(benchmark=False, deterministic=True, allow_tf32=False)
        with torch.no_grad(), flags, exact_float32():
            found = model.test_step({"inputs": [data["inputs"]], "data_samples": [data["data_samples"]]})  # type: ignore[operator]
        labels: NDArray[np.int64] = found[0].pred_sem_seg.data[0].cpu().numpy().astype(np.int64)
        return labels

    return Judge(name=path.stem, sha256=file_sha256(checkpoint), classes=classes, class_names=names, label=label)


def find_config(config: Path | str) -> Path:
    """The config file: ``config`` itself where it is a file, else the installed package's of that name.

    Raises ConfigError that lists names alike.
    """
    if Path(config).suffix == ".py" or Path(config).is_file():
        if not Path(config).is_file():
            raise ConfigError(f"{config}: there is no such config file")
        return Path(config)
    import mmseg

    folder = Path(mmseg.__file__).parent / ".mim" / "configs"
    names = {path.stem: path for path in sorted(folder.glob("*/*.py")) if path.parent.name != "_base_"}
    if str(config) not in names:
        alike = difflib.get_close_matches(str(config), names, n=5, cutoff=0.4)
        hint = f"; alike are: {', '.join(alike)}" if alike else ""
        raise ConfigError(f"no config of mmsegmentation is called {str(config)!r} and there is no such file{hint}")
    return names[str(config)]


def _read_config(path: Path) -> Any:
    from mmengine import Config

    try:
        return Config.fromfile(path)
    except ImportError as error:
        reason = str(error.__cause__ or error).partition("\n")[0]
        raise ConfigError(
            f"{path}: imports what is not installed ({reason}); install that or choose another"
        ) from error
    except Exception as error:  # a config is a program, which may fail in any way
        raise ConfigError(f"{path}: cannot be read as a config ({type(error).__name__}: {error})") from error


def _build_model(settings: Any, path: Path) -> nn.Module:
    if "model" not in settings:
        raise ConfigError(f"{path}: has no model; a judge needs the config of a whole network")
    model_config = settings.model.to_dict()
    for part in _parts(model_config):
        part.pop("init_cfg", None)
        part.pop("pretrained", None)
        if part.get("type") in ("SyncBN", "MMSyncBN"):
            part["type"] = "BN"
        scope = str(part.get("type", "")).partition(".")[0]
        if scope in _OTHER_PACKAGES and importlib.util.find_spec(scope) is None:
            raise ConfigError(f"{path}: its {part['type']} is part of {scope}, which is not installed; install it")
    model_config["train_cfg"] = None
    try:
        model = fresh_model(model_config)
    except (KeyError, TypeError, ImportError, AttributeError, ValueError, AssertionError) as error:
        raise ConfigError(
            f"{path}: cannot be built here ({type(error).__name__}: {str(error)[:300]}); configs that need "
            f"{' or '.join(_OTHER_PACKAGES[:2])} want that package installed"
        ) from error
    operators = compiled_operators_of(model)
    if operators:
        raise ConfigError(
            f"{path}: needs mmcv's compiled operators ({', '.join(operators)}), and mmcv-lite has none; install a full "
            "mmcv (>=2.0.0rc4, <2.2) or choose a config without them"
        )
    return model


def _test_pipeline(settings: Any, path: Path) -> list[Any]:
    from mmseg.registry import TRANSFORMS

    steps = settings.get("test_pipeline")
    if not steps:
        raise ConfigError(f"{path}: has no test_pipeline, so it does not say how an image is fed")
    kept = [dict(step) for step in steps if "Annotations" not in str(step["type"])]
    if kept[0]["type"] != "LoadImageFromFile":
        raise ConfigError(f"{path}: its test_pipeline begins with {kept[0]['type']}, expected LoadImageFromFile")
    kept[0] = {"type": "LoadImageFromNDArray", "to_float32": kept[0].get("to_float32", False)}
    try:
        return [TRANSFORMS.build(step) for step in kept]
    except (KeyError, TypeError, ImportError, AssertionError) as error:
        raise ConfigError(f"{path}: its test_pipeline cannot be built here ({error})") from error


def _read_checkpoint(path: Path) -> Any:
    if not path.is_file():
        raise CheckpointError(f"{path}: there is no such checkpoint")
    try:
        return read_tensors_only(path)
    except CheckpointError as refused:
        if not isinstance(refused.__cause__, pickle.UnpicklingError):
            raise
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return read_without_code(path)
    except (
        pickle.UnpicklingError,
        RuntimeError,
        EOFError,
        OSError,
        KeyError,
        ValueError,
        TypeError,
        AttributeError,
    ) as error:
        raise CheckpointError(f"{path}: cannot be read as a checkpoint ({str(error)[:200]}); fetch it again") from error


def _class_names(content: Any, settings: Any) -> tuple[str, ...]:
    """From the checkpoint, else from the class of the config's test data; () where neither tells."""
    from mmseg.registry import DATASETS

    meta = content.get("meta") if isinstance(content, Mapping) else None
    meta = meta if isinstance(meta, Mapping) else {}
    found = (meta.get("dataset_meta") or {}).get("classes") or meta.get("CLASSES")
    if not found and "test_dataloader" in settings:
        dataset = settings.test_dataloader.dataset
        kind = DATASETS.get(dataset.get("type", ""))
        found = (dataset.get("metainfo") or {}).get("classes") or getattr(kind, "METAINFO", {}).get("classes")
    return tuple(str(name).strip() for name in found or ())


def _parts(value: Any) -> Iterator[MutableMapping[str, Any]]:
    """Every mapping within a config, the outer one first."""
    if isinstance(value, MutableMapping):
        yield value
        for inner in list(value.values()):
            yield from _parts(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _parts(inner)

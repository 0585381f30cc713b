"""The evaluator: the same numbers on any number of ranks, folders checked at once, scores that lack their weights."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from bench.data.synthetic import SyntheticScenes
from bench.evaluation import evaluator, weights
from bench.evaluation.evaluator import ImageSource, Judgement, evaluate, folder_images, real_images
from bench.evaluation.features import inception_extractor
from bench.evaluation.frechet import frechet_distance
from bench.evaluation.generate import CHUNK_IMAGES, chunks_of, generate_split, noise_for, truncated
from bench.evaluation.judges.registry import Judge
from bench.evaluation.metrics import segmentation_scores
from bench.evaluation.protocols import COCO_STUFF, SYNTHETIC, get_protocol
from bench.evaluation.weights import MissingWeightsError, find_weights, require_weights, weights_sha256
from tests.tiny import Z_DIM, splits, tiny_run

SCENES = SyntheticScenes(split="val", size=(32, 32), images=21)
CPU = torch.device("cpu")
CLASSES = len(SCENES.scored_classes)


@dataclass
class Peers:
    """One of several ranks that are played one after the other, rank 0 last."""

    rank: int
    world: int
    handed_in: list[object] = field(default_factory=list)

    def gather(self, value: object) -> list[object]:
        self.handed_in.append(value)
        return self.handed_in


def brightness_judge(*_: object) -> Judge:
    """Labels a pixel by its red value; no weights, so that counting can be checked by hand."""
    return Judge(name="red", sha256="0" * 64, label=lambda images: images[..., 0].astype(np.int64) * CLASSES // 256)


def mean_features(*_: object) -> evaluator.Extractor:
    return lambda images: images.reshape(len(images), -1, 3).mean(axis=1).astype(np.float32)


@pytest.fixture(autouse=True)
def _simple_judge(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    monkeypatch.setattr(evaluator, "build_judge", brightness_judge)
    monkeypatch.setattr(evaluator, "judge_features", mean_features)
    monkeypatch.setenv("SPADE_BENCH_WEIGHTS", str(tmp_path / "no-weights"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "no-torch"))


def noisy(index: int) -> NDArray[np.uint8]:
    """The real image with noise that depends on the image alone."""
    image = SCENES.load(index).image.astype(np.int64)
    drawn = np.random.default_rng(index).integers(-60, 60, image.shape)
    return np.clip(image + drawn, 0, 255).astype(np.uint8)


def judge_on(world: int, images: ImageSource = noisy, count: int = 21) -> Judgement:
    handed_in: list[object] = []
    for rank in reversed(range(world)):
        found = evaluate(images, SCENES, SYNTHETIC, count=count, device=CPU, peers=Peers(rank, world, handed_in))
        assert (found is None) == (rank > 0)
    assert found is not None
    return found


@pytest.mark.parametrize("world", [2, 3, 5])
def test_any_number_of_ranks_gives_the_same_numbers(world: int) -> None:
    one, several = judge_on(1), judge_on(world)
    bare = {"total": None, "per_image": None, "seconds": 0.0}
    assert replace(several, **bare) == replace(one, **bare)
    assert one.total is not None
    assert one.per_image is not None
    assert np.array_equal(one.total, several.total)
    assert np.array_equal(one.per_image, several.per_image)


def test_the_scores_are_those_of_the_summed_counts() -> None:
    found = judge_on(1)
    assert found.total is not None
    assert found.per_image is not None
    dense = np.zeros((21, SCENES.spec.ids, CLASSES), np.int64)
    dense[tuple(found.per_image[:, :3].T)] = found.per_image[:, 3]
    assert np.array_equal(dense.sum(axis=0), found.total)
    assert np.array_equal(dense.sum(axis=(1, 2)), [SCENES.size[0] * SCENES.size[1]] * 21)
    truth = np.stack([SCENES.load(index).labels for index in range(21)])
    predicted = np.stack([noisy(index)[..., 0].astype(np.int64) * CLASSES // 256 for index in range(21)])
    scores = segmentation_scores(found.total, range(CLASSES), "present")
    assert found.scores["accu@all"].value == pytest.approx(100.0 * (truth == predicted).mean())
    assert found.scores["mIoU"].value == scores.mean_iou
    assert found.class_pixels == {name: int((truth == label).sum()) for label, name in enumerate(SCENES.class_names)}
    assert list(found.class_iou) == list(SCENES.class_names)
    assert found.sample_ids == [SCENES.sample_id(index) for index in range(21)]
    features = [mean_features()(np.stack([image(i) for i in range(21)])) for image in (real_images(SCENES), noisy)]
    assert found.scores["FD@synthetic-judge"].value == frechet_distance(*features)


def test_real_images_are_at_distance_0() -> None:
    assert judge_on(1, real_images(SCENES)).scores["FD@synthetic-judge"].value == pytest.approx(0.0, abs=1e-9)


def test_one_image_has_no_distance_and_says_so() -> None:
    score = judge_on(1, count=1).scores["FD@synthetic-judge"]
    assert (score.value, score.reason) == (None, "a Frechet distance needs at least 2 images; there are 1")


def test_a_metric_without_its_weights_names_the_file() -> None:
    score = judge_on(1).scores["FID@tf"]
    assert (score.value, score.reason) == (None, "weights file pt_inception-2015-12-05-6726825d.pth is missing")


def test_without_a_judge_every_other_score_is_still_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("SPADE_BENCH_WEIGHTS", "")
    protocol = replace(COCO_STUFF, metrics=("mIoU", "accu@all", "FID@tf", "FD@synthetic-judge"))
    monkeypatch.setattr(evaluator, "judge_features", mean_features)
    found = evaluate(noisy, SCENES, protocol, count=4, device=CPU, peers=Peers(0, 1))
    assert found is not None
    missing = "weights file deeplabv2_resnet101_msc-cocostuff164k-100000.pth is missing"
    assert (found.scores["mIoU"].reason, found.scores["accu@all"].reason) == (missing, missing)
    assert found.scores["FD@synthetic-judge"].value is not None
    assert (found.total, found.per_image, found.class_iou, found.class_pixels) == (None, None, {}, {})


def test_a_metric_that_nobody_computes_is_an_error() -> None:
    protocol = replace(SYNTHETIC, metrics=("PSNR",))
    with pytest.raises(ValueError, match="asks for metric 'PSNR'; the evaluator computes: mIoU"):
        evaluate(noisy, SCENES, protocol, count=2, device=CPU, peers=Peers(0, 1))


def test_chunks_cover_every_image_once_and_do_not_depend_on_the_ranks() -> None:
    whole = {tuple(chunk) for chunk in chunks_of(21, 0, 1)}
    assert {len(chunk) for chunk in whole} == {CHUNK_IMAGES, 21 % CHUNK_IMAGES}
    for world in (2, 3, 7):
        shared = [tuple(chunk) for rank in range(world) for chunk in chunks_of(21, rank, world)]
        assert len(shared) == len(whole)
        assert set(shared) == whole


def write_folder(folder: Path, count: int = 10) -> Path:
    folder.mkdir()
    for index in range(count):
        Image.fromarray(noisy(index)).save(folder / f"{SCENES.sample_id(index)}.png")
    return folder


def test_a_folder_of_images_is_read_by_sample_id(tmp_path: Path) -> None:
    read = folder_images(write_folder(tmp_path / "images"), SCENES, 10)
    assert all(np.array_equal(read(index), noisy(index)) for index in range(10))
    direct, from_files = judge_on(1, count=10), judge_on(2, read, count=10)
    assert direct.scores == from_files.scores


def test_every_problem_of_a_folder_is_listed_at_once(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "images")
    names = [f"{SCENES.sample_id(index)}.png" for index in range(10)]
    (folder / names[1]).unlink()
    (folder / names[2]).write_bytes(b"not an image")
    Image.fromarray(noisy(3)[:16]).save(folder / names[3])
    (folder / names[4]).write_bytes((folder / names[5]).read_bytes()[:200])
    Image.fromarray(noisy(6)).save(folder / "stranger.png")
    (folder / "notes.txt").write_text("not looked at")
    with pytest.raises(ValueError, match=r"5 problem\(s\) with the 10 images of synthetic/val") as caught:
        folder_images(folder, SCENES, 10)
    text = str(caught.value)
    for line in (
        f"{names[1]}: missing",
        f"{names[2]}: cannot be read",
        f"{names[3]}: 32x16 px, expected 32x32",
        f"{names[4]}: cannot be read",
        "stranger.png: no sample of that name",
        "expected one PNG for each sample, named <sample id>.png, 32x32 px",
    ):
        assert line in text


def test_a_folder_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nowhere: there is no such folder"):
        folder_images(tmp_path / "nowhere", SCENES, 3)


def save_inception(folder: Path) -> tuple[Path, dict[str, torch.Tensor]]:
    """A file in the released format with random weights (the features' scale does not matter here)."""
    from pytorch_fid.inception import fid_inception_v3

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pytorch_fid.inception.load_state_dict_from_url", lambda *_, **__: {}, raising=True)
        patch.setattr(torch.nn.Module, "load_state_dict", lambda self, state: None)
        network = fid_inception_v3()
    torch.manual_seed(1)
    state = {
        key: torch.randn_like(value) * (2.0 / max(1, value[0].numel())) ** 0.5 if value.ndim == 4 else value
        for key, value in network.state_dict().items()
    }
    folder.mkdir()
    path = folder / "pt_inception-2015-12-05-6726825d.pth"
    torch.save(state, path)
    return path, state


def test_fid_is_pytorch_fids_with_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pytorch_fid import inception
    from pytorch_fid.fid_score import get_activations

    path, state = save_inception(tmp_path / "weights")
    monkeypatch.setenv("SPADE_BENCH_WEIGHTS", str(path.parent))
    with pytest.raises(ValueError, match="sha256 is [0-9a-f]{64}, expected 6726825d...; the file is damaged"):
        require_weights("inception-fid")
    digest = weights_sha256("inception-fid")
    entries = tuple(replace(e, sha256_prefix=digest[:8]) if e.name == "inception-fid" else e for e in weights.WEIGHTS)
    monkeypatch.setattr(weights, "WEIGHTS", entries)

    original = inception.load_state_dict_from_url
    score = judge_on(1, count=3).scores["FID@tf"]
    assert inception.load_state_dict_from_url is original

    features = {}
    monkeypatch.setattr(inception, "load_state_dict_from_url", lambda *_, **__: state)
    network = inception.InceptionV3([3])
    for name, source in (("real", real_images(SCENES)), ("fake", noisy)):
        (tmp_path / name).mkdir()
        files = [tmp_path / name / f"{index}.png" for index in range(3)]
        for index, file in enumerate(files):
            Image.fromarray(source(index)).save(file)
        features[name] = get_activations(files, network, batch_size=3, dims=2048, num_workers=0)
    ours = inception_extractor(CPU)(np.stack([noisy(index) for index in range(3)]))
    assert ours.shape == (3, 2048)
    np.testing.assert_allclose(ours, features["fake"], rtol=1e-5, atol=1e-6)
    assert np.ptp(ours) > 0.1
    assert score.value == pytest.approx(frechet_distance(features["real"], features["fake"]), rel=1e-4)


def test_weights_are_found_in_the_users_folder_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "vgg19-dcbb9e9d.pth"
    mine, hub = tmp_path / "mine", tmp_path / "torch" / "hub" / "checkpoints"
    monkeypatch.setenv("SPADE_BENCH_WEIGHTS", str(mine))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    hub.mkdir(parents=True)
    (hub / name).write_bytes(b"1")
    assert find_weights("vgg19") == hub / name
    mine.mkdir()
    (mine / name).write_bytes(b"2")
    assert find_weights("vgg19") == mine / name
    with pytest.raises(MissingWeightsError, match=r"(?s)deeplabv2.* is missing \(judge of COCO-Stuff; MIT.*mine"):
        require_weights("deeplabv2-cocostuff164k")
    with pytest.raises(ValueError, match="no weights file is called 'vgg'; known are: synthetic-judge, vgg19"):
        find_weights("vgg")


def test_protocols_are_named_with_their_version() -> None:
    assert get_protocol("synthetic") is get_protocol("synthetic@1") is SYNTHETIC
    with pytest.raises(ValueError, match=r"no protocol is called 'synthetic@9'; known are: synthetic@1, coco"):
        get_protocol("synthetic@9")


@pytest.mark.parametrize("protocol", [SYNTHETIC, COCO_STUFF], ids=lambda item: item.key)
def test_every_field_of_a_protocol_has_a_source(protocol: evaluator.Protocol) -> None:
    assert [field for field, _, source in protocol.explained() if not source] == []


def test_generated_images_do_not_depend_on_the_ranks(tmp_path: Path) -> None:
    run = tiny_run("spade-decoder-random-input")
    scenes = replace(splits(run)[1], images=10)
    torch.manual_seed(0)
    generator = run.generator.build(scenes.spec, scenes.size).train()
    statistics = {key: value.clone() for key, value in generator.state_dict().items()}
    for world in (1, 2):
        for rank in range(world):
            generate_split(
                generator,
                scenes,
                tmp_path / str(world),
                CPU,
                count=10,
                z_dim=Z_DIM,
                noise_seed=3,
                rank=rank,
                world=world,
            )
    names = [f"{scenes.sample_id(index)}.png" for index in range(10)]
    for name in names:
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()
    assert sorted(path.name for path in (tmp_path / "2").iterdir()) == names
    assert generator.training
    assert all(torch.equal(value, statistics[key]) for key, value in generator.state_dict().items())


def test_only_missing_images_are_generated(tmp_path: Path) -> None:
    run = tiny_run("pix2pixhd")
    scenes = replace(splits(run)[1], images=10)
    generator = run.generator.build(scenes.spec, scenes.size)

    def generate() -> dict[str, int]:
        generate_split(generator, scenes, tmp_path, CPU, count=10, z_dim=None, noise_seed=0)
        return {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}

    first = generate()
    (tmp_path / f"{scenes.sample_id(9)}.png").unlink()
    again = generate()
    assert {name for name in first if again[name] != first[name]} == {f"{scenes.sample_id(i)}.png" for i in (8, 9)}


def test_noise_belongs_to_the_sample() -> None:
    assert np.array_equal(noise_for("a", 0, 5), noise_for("a", 0, 5))
    assert not np.array_equal(noise_for("a", 0, 5), noise_for("b", 0, 5))
    assert not np.array_equal(noise_for("a", 0, 5), noise_for("a", 1, 5))


def test_images_are_truncated_as_released() -> None:
    values = torch.tensor([-2.0, -1.0, -0.999, 0.0, 0.9999, 1.0, 2.0]).reshape(1, 1, 1, 7).expand(1, 3, 1, 7)
    assert truncated(values)[0, 0, :, 0].tolist() == [0, 0, 0, 127, 254, 255, 255]

"""What a user may name to be measured, and what is said of names and files that cannot be."""

from pathlib import Path

import onnx
import pytest
import timm
from onnx import TensorProto, helper
from small_run import DEPLOYMENT, PROBLEM, architecture, candidate, evaluation, write_small_run

from ecoNAS.analysis.run import load_run
from ecoNAS.architecture import Deployment, Problem
from ecoNAS.cli import main
from ecoNAS.costs.counts import CostTable
from ecoNAS.errors import EcoNASError
from ecoNAS.export.formats import DataCard, metrics_of
from ecoNAS.measuring.measure import plan_jobs
from ecoNAS.measuring.subjects import Images, OnnxSubject, Subject, TorchSubject, find_subjects
from ecoNAS.records import Workload

NOTHING = Images()


def the_one(target: Path | str, images: Images = NOTHING) -> Subject:
    (found,) = find_subjects(str(target), images)
    return found


def workload(subject: Subject) -> Workload:
    return subject.workload(subject.deployment)


def write_onnx(path: Path, shape: list[int | str], dtype: int = TensorProto.FLOAT) -> Path:
    """Write a file that gives back its input."""
    images, copy = (helper.make_tensor_value_info(name, dtype, shape) for name in ("images", "copy"))
    graph = helper.make_graph([helper.make_node("Identity", ["images"], ["copy"])], "copy", [images], [copy])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


@pytest.mark.parametrize(
    ("name", "size"), [("test_resnet", 160), ("mobilenetv3_small_050", 224), ("tf_efficientnet_b3", 300)]
)
def test_a_timm_model_comes_with_its_own_images_and_classes(name: str, size: int) -> None:
    subject = the_one(name)
    assert isinstance(subject, TorchSubject)
    assert (subject.name, subject.deployment.resolution) == (name, size)
    assert subject.problem == Problem(input_channels=3, resolution=size, num_classes=1000)


def test_a_timm_model_can_be_given_other_images_and_classes() -> None:
    subject = the_one("test_resnet", Images(resolution=64, channels=1, classes=7))
    found = workload(subject)
    assert found.shape == (32, 1, 64, 64)
    # The whole network by timm itself, as a second opinion about what was built.
    theirs = timm.create_model("test_resnet", in_chans=1, num_classes=7)
    assert found.costs is not None
    assert found.costs.params == sum(weights.numel() for weights in theirs.parameters())
    assert found.digest != the_one("test_resnet").workload(Deployment(resolution=64)).digest


@pytest.mark.parametrize(
    ("target", "images", "parts"),
    [
        ("mobilenetv3_smal_050", NOTHING, ["unknown timm model", "did you mean 'mobilenetv3_small_050'"]),
        ("resnet18.no_such_weights", NOTHING, ["resnet18.no_such_weights", "leave out what follows the dot"]),
        ("runs/missing", NOTHING, ["no such file or folder: runs/missing"]),
        ("missing.onnx", NOTHING, ["no such file: missing.onnx"]),
        ("missing.json", NOTHING, ["missing.json: no such architecture file"]),
        ("test_resnet", Images(resolution=0), ["resolution: must be at least 1"]),
        ("test_resnet", Images(classes=1), ["num_classes: must be at least 2"]),
    ],
)
def test_what_cannot_be_found_is_said_in_one_line(target: str, images: Images, parts: list[str]) -> None:
    with pytest.raises(EcoNASError) as caught:
        find_subjects(target, images)
    assert all(part in str(caught.value) for part in parts), caught.value
    assert "\n" not in str(caught.value)


def test_images_that_a_network_cannot_read_are_its_own_mistake() -> None:
    """A vision transformer of 16-pixel patches has none in 33 pixels."""
    with pytest.raises(EcoNASError, match="test_vit cannot read images of 3 x 33 x 33: ") as caught:
        workload(the_one("test_vit", Images(resolution=33)))
    assert "\n" not in str(caught.value)


def test_an_architecture_file_needs_to_be_told_its_images(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(architecture(1).to_json())
    with pytest.raises(EcoNASError, match="says nothing of its images; give --resolution"):
        find_subjects(str(path), NOTHING)

    found = workload(the_one(path, Images(resolution=8, channels=1, classes=10)))

    assert (found.model, found.digest, found.shape) == ("mine", architecture(1).digest, (32, 1, 8, 8))
    assert found.costs == CostTable(PROBLEM).costs(architecture(1))


def test_an_exported_folder_runs_as_it_was_profiled(tmp_path: Path) -> None:
    card = DataCard(name="digits", class_names=tuple("0123456789"), mean=(0.0,), std=(1.0,))
    (tmp_path / "architecture.json").write_text(architecture(2).to_json())
    (tmp_path / "metrics.json").write_text(metrics_of(evaluation(2), card, None).model_dump_json())
    subject = the_one(tmp_path)
    assert subject.deployment == DEPLOYMENT.model_copy(update={"resolution": 8})
    assert (workload(subject).digest, workload(subject).shape) == (architecture(2).digest, (4, 1, 8, 8))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"problem": {"resolution": 8}}', '{"problem": 5}'])
def test_a_broken_export_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "metrics.json").write_text(text)
    with pytest.raises(EcoNASError, match=r"metrics\.json does not say what the network is for") as caught:
        find_subjects(str(tmp_path), NOTHING)
    assert "\n" not in str(caught.value)


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EcoNASError, match="is no run folder, exported folder, ONNX file or architecture file"):
        find_subjects(str(tmp_path), NOTHING)


def test_an_onnx_file_is_known_by_its_bytes_and_nobody_counts_it(tmp_path: Path) -> None:
    first, same = (write_onnx(tmp_path / name, [1, 3, 8, 8]) for name in ("a.onnx", "b.onnx"))
    other = write_onnx(tmp_path / "c.onnx", [1, 3, 16, 16])
    found = [workload(the_one(path)) for path in (first, same, other)]
    assert [item.model for item in found] == ["a.onnx", "b.onnx", "c.onnx"]
    assert found[0].digest == found[1].digest != found[2].digest
    assert [item.costs for item in found] == [None, None, None]
    assert the_one(first).deployment.runtime == "onnxruntime"


@pytest.mark.parametrize(
    ("shape", "batch", "resolution", "expected"),
    [
        ([4, 3, 8, 8], 4, None, (4, 3, 8, 8)),
        (["n", 3, 8, 8], 5, None, (5, 3, 8, 8)),
        (["n", 3, 8, 8], 5, 8, (5, 3, 8, 8)),
        (["n", 3, "h", "w"], 2, 16, (2, 3, 16, 16)),
        ([1, 3, 8, 12], 1, None, (1, 3, 8, 12)),
    ],
)
def test_what_an_onnx_file_leaves_open_is_filled_in(
    tmp_path: Path, shape: list[int | str], batch: int, resolution: int | None, expected: tuple[int, ...]
) -> None:
    subject = the_one(write_onnx(tmp_path / "a.onnx", shape), Images(resolution=resolution))
    how = subject.deployment.model_copy(update={"batch": batch})
    assert subject.workload(how).shape == expected
    subject.make_runner(how, "cpu").run()


@pytest.mark.parametrize(
    ("shape", "how", "part"),
    [
        ([4, 3, 8, 8], {}, "is made for batches of 4, not of 1; choose --batch to match"),
        ([1, 3, "h", "w"], {}, "leaves open which size its inputs have, [1, 3, 'h', 'w']; give --resolution"),
        ([1, "c", 8, 8], {"resolution": 8}, "write it with a fixed number of channels"),
        ([1, 3, 8, 8], {"resolution": 16}, "is made for images of 8 x 8, not of 16; leave out --resolution"),
        ([1, 10], {}, "takes inputs of (1, 10); images are (batch, channels, height, width)"),
        ([], {}, "takes single numbers, not images"),
    ],
)
def test_an_onnx_file_that_does_not_fit_is_refused_with_the_remedy(
    tmp_path: Path, shape: list[int | str], how: dict[str, int], part: str
) -> None:
    subject = the_one(write_onnx(tmp_path / "a.onnx", shape))
    with pytest.raises(EcoNASError) as caught:
        subject.workload(subject.deployment.model_copy(update=how))
    assert part in str(caught.value)


def test_an_onnx_file_of_something_else_than_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EcoNASError, match=r"takes images: tensor\(int64\); only files with one input of images"):
        workload(the_one(write_onnx(tmp_path / "words.onnx", [1, 3, 8, 8], TensorProto.INT64)))
    (tmp_path / "broken.onnx").write_bytes(b"not a network")
    with pytest.raises(EcoNASError, match=r"broken\.onnx is not run: ") as caught:
        workload(the_one(tmp_path / "broken.onnx"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("change", [{"runtime": "eager"}, {"dtype": "bf16"}, {"layout": "channels_last"}])
def test_an_onnx_file_runs_only_as_it_is(tmp_path: Path, change: dict[str, str]) -> None:
    subject = the_one(write_onnx(tmp_path / "a.onnx", [1, 3, 8, 8]))
    with pytest.raises(EcoNASError, match="leave out --runtime, --dtype and --layout"):
        subject.make_runner(subject.deployment.model_copy(update=change), "cpu")


@pytest.mark.parametrize(
    ("trials", "numbers"),
    [("front", [1, 0]), ("all", [0, 1, 2, 3]), ("3, 0", [3, 0]), ("knee", None), ("2,knee", None)],
)
def test_members_of_a_run_are_deployed_as_there(tmp_path: Path, trials: str, numbers: list[int] | None) -> None:
    folder = write_small_run(tmp_path / "run")
    knee = load_run(folder).knee()
    assert knee is not None
    numbers = numbers or [*([2] if "2" in trials else []), knee.number]

    found = find_subjects(str(folder), NOTHING, trials)

    assert [subject.name for subject in found] == [f"trial {number}" for number in numbers]
    for number, subject in zip(numbers, found, strict=True):
        assert subject.deployment == DEPLOYMENT
        assert (workload(subject).candidate, workload(subject).shape) == (candidate(number).digest, (4, 1, 8, 8))


def test_a_run_without_a_front_has_nothing_to_measure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_small_run(tmp_path / "run", trials=0)
    assert main(["measure", str(folder), "--meter", "estimate"]) == 2
    assert "has no networks to measure: its front is empty" in capsys.readouterr().err
    for text, part in {"9": "trial 9", "best": "'best' is no trial"}.items():
        with pytest.raises(EcoNASError, match=part):
            find_subjects(str(folder), NOTHING, text)


def test_a_sweep_is_every_combination_once() -> None:
    jobs = plan_jobs([the_one("test_resnet")], {"batch": [1, 8, 8], "dtype": ["fp32", "bf16"], "threads": [1]})
    assert [(job.how.batch, job.how.dtype) for job in jobs] == [(1, "fp32"), (1, "bf16"), (8, "fp32"), (8, "bf16")]
    assert {(job.how.threads, job.how.resolution, job.how.runtime) for job in jobs} == {(1, 160, "eager")}
    assert jobs[0].name == "test_resnet (batch 1, eager, fp32, 160 pixels)"


@pytest.mark.parametrize(
    ("sweep", "part"),
    [({"batch": [0]}, "batch: must be at least 1, got 0"), ({"runtime": ["eagr"]}, "did you mean 'eager'?")],
)
def test_an_impossible_value_of_a_sweep_is_one_line(sweep: dict[str, list[object]], part: str) -> None:
    with pytest.raises(EcoNASError) as caught:
        plan_jobs([OnnxSubject(Path("a.onnx"), Deployment())], sweep)
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)

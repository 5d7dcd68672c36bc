"""Explanations of a folder: on the original slice, whole or not at all."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from ich.ct.geometry import FullGeometry, Geometry, HeadGeometry
from ich.ct.windowing import Window, WindowStack
from ich.data.phantom import draw_study, render
from ich.data.phantom.bleeding import CORE
from ich.findings import ANY, FINDINGS, KINDS
from ich.model.activation import ActivationMaps, NoMaps
from ich.model.backbone import Backbone
from ich.model.classifier import HemorrhageClassifier
from ich.model.context import Single
from ich.predictor import Predictor, Read
from ich.report.explain import Explained, Explainer, explain, explanation_figure, shown_box, write_map
from ich.report.predictions import FILES, BadOutput, make_output, predict_folder, write_predictions
from tests.data.dicom_files import write_slice
from tests.project import Project


class Bright(nn.Module):
    """Its one stage is the mean of 4 x 4 pixels; the brighter, the likelier is `any` and the less the kinds."""

    feature_info = ({"module": "stage", "num_chs": 1},)

    def __init__(self) -> None:
        super().__init__()
        self.stage, self.head = nn.AvgPool2d(4), nn.Linear(1, len(FINDINGS))
        self.head.weight.data = torch.tensor([[-1.0]] * len(KINDS) + [[1.0]])
        self.head.bias.data = torch.tensor([-9.0, -9, -9, -9, 8, 9])

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.stage(images).mean((2, 3)))
        return logits


def predictor(geometry: Geometry = HeadGeometry(size=64, field_mm=320.0), name: str = "test_byobnet") -> Predictor:  # noqa: B008
    window = WindowStack(windows=[Window(level=40, width=80)])
    classifier = HemorrhageClassifier(backbone=Backbone(name=name), window=window, context=Single()).eval()
    return Predictor(classifier=classifier, geometry=geometry, depth=1, device=torch.device("cpu"))


def bright(geometry: Geometry = HeadGeometry(size=64, field_mm=320.0)) -> Predictor:  # noqa: B008
    one = predictor(geometry)
    one.classifier.network = Bright()
    return one


def explained(one: Predictor, files: Sequence[Path]) -> dict[int, list[Explained]]:
    read = [some for file in files for some in one.read([file]) if isinstance(some, Read)]
    explainer = Explainer.of(one, files[0].parent / "out", at_least=0.5)
    return explain(explainer.maps, read, one.predict([some.hu for some in read]).probabilities, 0.5)


@pytest.mark.parametrize("geometry", [HeadGeometry(size=64, field_mm=320.0), FullGeometry(size=48)])
@pytest.mark.parametrize("spacing", [(4.0, 4.0), (3.0, 6.0)])
def test_the_map_lies_on_the_original_slice(tmp_path: Path, geometry: Geometry, spacing: tuple[float, float]) -> None:
    file = write_slice(tmp_path / "a.dcm", image="a", hu=80, middle=(24, 36), spacing=spacing)
    any_, subdural = explained(bright(geometry), [file])[0]
    assert [any_.label, subdural.label] == ["any", "subdural"]  # those that are probable, the most probable first
    assert any_.heat.shape == (64, 64)
    rows, columns = np.mgrid[:64, :64]
    disc = (rows - 24) ** 2 + (columns - 36) ** 2 < 400
    assert ((any_.heat > 0.5) == disc).mean() > 0.95  # a patch is up to 6 of its pixels wide
    assert any_.strongest is not None
    assert disc[any_.strongest]
    assert subdural.strongest is None  # bright pixels only speak against it


def test_a_folder_of_explanations_has_a_table_pictures_and_maps(tmp_path: Path) -> None:
    write_slice(tmp_path / "in" / "some" / "b.dcm", image="ID_b", hu=80)
    write_slice(tmp_path / "in" / "a.dcm", image="ID_a", hu=80)
    (tmp_path / "in" / "note.txt").write_text("no slice")
    output = tmp_path / "in"  # the second time what was written there is no input
    for _ in range(2):
        one = bright()
        explainer = Explainer.of(one, output, at_least=0.9998)
        done = predict_folder(one, tmp_path / "in", batch_size=1, leave_out=output, predicted_batch=explainer.add)
        assert not (output / "explanations.unfinished" / "table.csv").exists()
        said = explainer.finish()
        assert (len(done.probabilities), len(done.rejected)) == (2, 1)
    folder = output / "explanations"
    assert said == f"2 slices have a label of probability 0.9998 or more: {folder}"
    table = pd.read_csv(folder / "table.csv")
    assert table["file"].tolist() == ["a.dcm", "some/b.dcm"]
    assert table["label"].tolist() == ["any", "any"]
    assert table["probability"].tolist() == pytest.approx(done.probabilities["any"].tolist(), abs=1e-9)
    named = {folder / name for name in [*table["picture"], *table["map"], "table.csv"]}
    assert {file for file in folder.rglob("*") if file.is_file()} == named
    for row in table.itertuples():
        heat = cv2.imread(str(folder / str(row.map)), cv2.IMREAD_UNCHANGED)
        assert heat is not None
        assert (heat.shape, heat.dtype) == ((64, 64), np.uint8)
        assert heat[int(row.row), int(row.column)] == heat.max() == 255  # type: ignore[call-overload]
    assert not (output / "explanations.unfinished").exists()


def test_nothing_probable_leaves_an_empty_table(tmp_path: Path) -> None:
    explainer = Explainer.of(bright(), tmp_path, at_least=1.0)
    assert explainer.finish().startswith("0 slices have a label of probability 1 or more")
    assert pd.read_csv(tmp_path / "explanations" / "table.csv").empty


def test_a_stopped_prediction_leaves_the_earlier_explanations_and_the_next_one_begins_anew(tmp_path: Path) -> None:
    Explainer.of(bright(), tmp_path, at_least=1.0).finish()
    (read,) = bright().read([write_slice(tmp_path / "in" / "a.dcm", image="a", hu=80)])
    assert isinstance(read, Read)
    Explainer.of(bright(), tmp_path, at_least=0.0).add([("a.dcm", read)], np.full((1, 6), 0.5))
    assert [file.name for file in (tmp_path / "explanations").iterdir()] == ["table.csv"]
    again = Explainer.of(bright(), tmp_path, at_least=1.0)
    make_output(tmp_path)
    assert not (tmp_path / "explanations.unfinished").exists()
    again.finish()
    assert [file.name for file in (tmp_path / "explanations").iterdir()] == ["table.csv"]


def test_new_tables_take_earlier_explanations_away_and_nothing_of_somebody_else(tmp_path: Path) -> None:
    write_slice(tmp_path / "in" / "a.dcm", image="ID_a", hu=80)
    predictions = predict_folder(bright(), tmp_path / "in", batch_size=1)
    Explainer.of(bright(), tmp_path, at_least=1.0).finish()
    write_predictions(predictions, tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {"in", *FILES}
    (tmp_path / "explanations").mkdir()
    write_predictions(predictions, tmp_path)
    assert (tmp_path / "explanations").is_dir()


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "explanations").mkdir()
    with pytest.raises(BadOutput, match=r"explanations: it is there already, .* take another output="):
        Explainer.of(bright(), tmp_path, at_least=0.5)


def test_a_network_of_tokens_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(NoMaps, match="VisionTransformer"):
        Explainer.of(predictor(HeadGeometry(size=160), name="test_vit"), tmp_path / "out", at_least=0.5)
    assert not (tmp_path / "out").exists()


def test_the_picture_says_label_and_probability_and_needs_no_colour() -> None:
    hu = np.full((64, 64), 40, np.int16)
    heat = np.zeros((64, 64), np.float32)
    heat[20:30, 20:30] = 1
    some = [
        Explained(label="any", probability=0.934, heat=heat),
        Explained(label="subdural", probability=0.5, heat=np.zeros_like(heat)),
    ]
    figure = explanation_figure(hu, some, title="a_$b$.dcm", spacing_mm=(1.0, 1.0))
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["brain window, L40 W80", "any, probability 0.93", "subdural, probability 0.50"]
    (lines,) = figure.axes[1].collections
    assert np.allclose(np.asarray(lines.get_edgecolor())[:, :3], 1)  # white
    styles = [style for _, style in lines.get_linestyle()]
    assert len(styles) == 2
    assert styles[0] != styles[1]
    assert [text.get_text() for text in figure.axes[2].texts] == ["no place speaks for it"]


def test_the_picture_leaves_out_air_but_no_place_that_the_network_looks_at() -> None:
    hu = np.full((200, 300), -1000, np.int16)
    cv2.circle(hu, (100, 100), 50, 40, cv2.FILLED)  # (column, row)
    nothing = Explained(label="any", probability=0.9, heat=np.zeros((200, 300), np.float32))
    top, bottom, left, right = shown_box(hu, [nothing], (1.0, 1.0))
    assert (top, bottom, left, right) == pytest.approx((42, 159, 38, 163), abs=4)  # 8 rows and 12 columns round it
    heat = nothing.heat.copy()
    heat[20, 290] = 1
    outside = Explained(label="any", probability=0.9, heat=heat)
    assert shown_box(hu, [outside], (1.0, 1.0)) == (12, bottom, left, 300)
    assert shown_box(np.full_like(hu, -1000), [outside], (1.0, 1.0)) == (0, 200, 0, 300)


def test_a_map_is_written_as_eight_bits(tmp_path: Path) -> None:
    write_map(np.array([[0, 0.5], [0.002, 1]], np.float32), tmp_path / "map.png")
    assert cv2.imread(str(tmp_path / "map.png"), cv2.IMREAD_UNCHANGED).tolist() == [[0, 128], [1, 255]]  # type: ignore[union-attr]


@pytest.mark.slow
def test_maps_of_a_trained_network_point_at_the_blood(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    """The pointing game: is the strongest place inside the true bleeding, and how often would any place of the head be?

    On fresh studies of 40 patients; of each label the slices that have it and where the network says so. Beside it the
    last stage alone, as in Grad-CAM.
    """
    project.run("train.py", "experiment=demo", timeout=1800)
    one = Predictor.load(project.artifact(project.newest(), "checkpoints/best.ckpt"), "cpu")
    maps = Explainer.of(one, Path("nowhere"), at_least=0.5).maps
    all_stages, last = point(one, maps), point(one, replace(maps, stages=maps.stages[-1:]))
    with capsys.disabled():
        print(f"\n{all_stages.assign(last_stage=last['hits']).round(3)}")
    assert all_stages.loc["any", "slices"] > 80
    assert all_stages.loc["any", "hits"] > 0.6
    assert all_stages.loc["kinds", "hits"] > 0.5
    assert all_stages["chance"].max() < 0.1


def point(one: Predictor, maps: ActivationMaps) -> pd.DataFrame:
    """By label: slices, the share whose map's strongest place lies in the bleeding, and the bleeding's of the head."""
    rows = []
    for number in range(40):
        kinds = (KINDS[number % 5],) if number % 2 else (KINDS[number // 2 % 5], KINDS[(number // 2 + 2) % 5])
        study = draw_study(seed=1000, number=number, kinds=kinds, slices=24, difficulty="demo", noise=1.0)
        shown = [some for place in range(5, 22, 2) if (some := render(study, place)).kinds]
        spacing_mm = (study.scanner.spacing_mm, study.scanner.spacing_mm)
        prepared = [one.geometry.prepare(some.hu, spacing_mm) for some in shown]
        read = [Read(image_id="", hu=some.hu[None], source=b"", warp=some.warp) for some in prepared]
        if not read:
            continue
        found = explain(maps, read, one.predict([some.hu for some in read]).probabilities, 0.5)
        for place, some in found.items():
            blood = np.append(shown[place].blood, shown[place].blood.sum(axis=0, keepdims=True), axis=0)
            inside = cv2.resize(
                (blood > CORE).astype(np.uint8).transpose(1, 2, 0), (512, 512), interpolation=cv2.INTER_NEAREST
            )
            for label in some:
                mask = inside[..., FINDINGS.index(label.label)].astype(bool)
                if label.label == FINDINGS[ANY] or label.label in shown[place].kinds:
                    hit = label.strongest is not None and bool(mask[label.strongest])
                    rows.append((label.label, hit, mask.sum() / head_pixels(shown[place].hu)))
    table = pd.DataFrame(rows, columns=["label", "hits", "chance"])
    pooled = table[table["label"] != "any"].assign(label="kinds")
    of_each = pd.concat([table, pooled]).groupby("label")
    return of_each.mean().assign(slices=of_each.size())


def head_pixels(hu: np.ndarray) -> int:
    """Of the largest body on the slice, with its holes filled."""
    outlines, _ = cv2.findContours((hu > -300).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return max(
        int(cv2.countNonZero(cv2.drawContours(np.zeros(hu.shape, np.uint8), [one], -1, 1, cv2.FILLED)))
        for one in outlines
    )

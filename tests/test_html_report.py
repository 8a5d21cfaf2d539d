"""The report: tables in the papers' layout, pictures that count right, one file that loads nothing, and every text escaped."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("sklearn", reason="scores and t-SNE need it; it comes with aura-edge[train]")

from aura_edge.errors import MissingExtraError, ParityError, SinkError
from aura_edge_train.evaluation import metrics, projections
from aura_edge_train.evaluation.few_shot import FewShotScore
from aura_edge_train.evaluation.generalised import GeneralisedScore
from aura_edge_train.evaluation.html_report import Highlight, Page, Points, render, write
from aura_edge_train.evaluation.metrics import Score
from aura_edge_train.evaluation.pictures import confusion_picture, points_picture
from aura_edge_train.evaluation.projections import Projection, project
from aura_edge_train.evaluation.retrieval import Direction, Measure, RetrievalScore
from aura_edge_train.evaluation.tables import (
    Cell,
    Row,
    few_shot_table,
    generalised_table,
    recognition_table,
    retrieval_table,
)

EVIL = "<script>alert(1)</script>&\"'"
VOID = {"meta", "br", "rect", "circle", "path"}


class Reader(HTMLParser):
    """Collects texts, tags and attributes, and sees to it that every tag is closed by its own."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def direction(query: str, gallery: str, value: float) -> Direction:
    measure = Measure(value, 0.01, (value - 0.05, value + 0.05))
    recall = {1: measure, 10: Measure(value, 0.1), 50: Measure(value, 0.5)}
    return Direction(query, gallery, RetrievalScore(1430, 1430, recall, Measure(value, 0.02), 3.0))


def scored(labels: int = 3, seed: int = 0, names: list[str] | None = None) -> Score:
    generator = np.random.default_rng(seed)
    truth = np.concatenate([np.arange(labels), generator.integers(0, labels, 200)])
    answers = np.where(generator.random(len(truth)) < 0.7, truth, generator.integers(0, labels, len(truth)))
    people = generator.integers(0, 5, len(truth)).astype(np.str_)
    return metrics.score_in_full(truth, answers, names or [f"label {n}" for n in range(labels)], people)


def clusters(windows: int = 120) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 4, windows)
    vectors = np.eye(4, 8)[labels] + 0.05 * generator.standard_normal((windows, 8))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), labels


def test_retrieval_is_laid_out_by_direction() -> None:
    """A block for each direction, a row per encoder with R@1, R@10, R@50 and MRR, the best marked, chance last."""
    table = retrieval_table(
        {
            "transformer": [direction("imu", "mocap", 0.4), direction("mocap", "imu", 0.3)],
            "cnn_rnn": [direction("imu", "mocap", 0.2), direction("mocap", "imu", 0.5)],
        }
    )
    assert table.columns == ("R@1", "R@10", "R@50", "MRR")
    assert [row.names[:2] for row in table.rows] == [
        ("imu → mocap", "transformer"), ("imu → mocap", "cnn_rnn"), ("imu → mocap", "chance"),
        ("mocap → imu", "transformer"), ("mocap → imu", "cnn_rnn"), ("mocap → imu", "chance"),
    ]  # fmt: skip
    assert table.rows[0].names[2] == "1,430 in 1,430"
    assert table.rows[0].cells[0] == Cell(0.4, (0.4 - 0.05, 0.4 + 0.05), best=True)
    assert [row.cells[3].best for row in table.rows] == [True, False, False, False, True, False]
    assert [cell.value for cell in table.rows[2].cells] == [0.01, 0.1, 0.5, 0.02]
    assert [row.chance for row in table.rows] == [False, False, True] * 2
    with pytest.raises(ParityError, match="no direction to show"):
        retrieval_table({"transformer": []})


def test_recognition_is_laid_out_by_way_of_training() -> None:
    """F1 and accuracy for zero-shot, probe, fine-tuned and scratch, in that order whatever was given first; gaps where not measured."""
    one, two = scored(seed=1), scored(seed=2)
    table = recognition_table(
        {
            "SisFall": {
                "transformer": {"from scratch": two, "zero-shot": one},
                "cnn_rnn": {"linear probe": two, "other": one},
            }
        }
    )
    assert table.groups == (("zero-shot", 2), ("linear probe", 2), ("from scratch", 2), ("other", 2))
    assert table.columns == ("F1", "acc.") * 4
    first = table.rows[0].cells
    assert first[0] == Cell(one.macro_f1, one.macro_f1_interval, best=True)
    assert first[1] == Cell(one.accuracy, one.accuracy_interval, best=True)
    assert first[2] == Cell(None)
    assert first[5].value == two.accuracy
    with pytest.raises(ParityError, match="no score to show"):
        recognition_table({"SisFall": {}})


def test_few_shot_and_generalised_have_their_tables() -> None:
    """Columns by number of labelled windows; seen, unseen, harmonic mean, unseen among themselves and AUSUC."""
    few = few_shot_table(
        {"a": [FewShotScore(1, 5, 0.3, 0.2), FewShotScore(5, 5, 0.6, 0.5)], "b": [FewShotScore(5, 5, 0.4, 0.7)]}
    )
    assert few.groups == (("1 of each label", 2), ("5 of each label", 2))
    assert [[cell.value for cell in row.cells] for row in few.rows] == [[0.2, 0.3, 0.5, 0.6], [None, None, 0.7, 0.4]]
    assert [cell.best for cell in few.rows[1].cells] == [False, False, True, False]
    both = generalised_table({"as trained": GeneralisedScore(0.7, 0.0, 0.0, 0.5, 0.2, (0.6, 0.8))})
    assert both.rows == (
        Row(("as trained",), (Cell(0.7, (0.6, 0.8)), Cell(0.0), Cell(0.0), Cell(0.5), Cell(0.2))),
    )  # fmt: skip


def shown(svg: str) -> list[tuple[str, str]]:
    """(what a cell says when pointed at, what is written in it)."""
    cells = re.findall(
        r"<g><title>([^<]* of [^<]* answered [^<]*)</title><rect[^>]*/>(?:<text[^>]*>([^<]*)</text>)?</g>", svg
    )
    return [(title, text) for title, text in cells]


def test_confusion_picture_shows_percent_of_each_row() -> None:
    """Every cell that is not empty is there, says its counts, and shows its share; right and wrong have their colours."""
    score = Score(7, 0.0, 0.0, labels=("walk", "run", "none"), confusion=((3, 1, 0), (0, 3, 0), (0, 0, 0)))
    svg = confusion_picture(score)
    assert shown(svg) == [
        ("walk: 3 of 4 answered walk", "75"), ("walk: 1 of 4 answered run", "25"), ("run: 3 of 3 answered run", "100"),
    ]  # fmt: skip
    assert svg.count("var(--right)") == 2
    assert svg.count("var(--wrong)") == 1
    assert '<g class="faint"><title>none</title>' in svg
    Reader(svg)


def test_confusion_picture_of_34_labels_stays_readable() -> None:
    """Rows are named in full up to a length and numbered, columns numbered; small shares are coloured and not written."""
    names = [f"doing the thing number {n} " + "very " * (n % 13) + "slowly" for n in range(34)]
    counts = 97 * np.eye(34, dtype=int) + 3 * np.roll(np.eye(34, dtype=int), 1, axis=1)
    svg = confusion_picture(Score(3400, 0.97, 0.97, labels=tuple(names), confusion=tuple(map(tuple, counts.tolist()))))
    texts = Reader(svg).texts
    assert re.findall(r'<text class="number"[^>]*middle">(\d+)</text>', svg) == [str(n) for n in range(1, 35)]
    assert all(texts.count(name) >= 1 for name in names)  # in full where it is pointed at
    assert max(len(text) for text in re.findall(r"<text[^>]*>([^<]*)</text>", svg)) <= 56
    assert sorted(text for _, text in shown(svg)) == [""] * 34 + ["97"] * 34
    wide = re.search(r'viewBox="0 0 (\d+) (\d+)"', svg)
    assert wide is not None
    assert int(wide[1]) < 1400


def test_points_picture_has_every_point_and_every_label() -> None:
    """A dot for each point in its label's group, a tag with its number near it that covers no other tag, and a legend."""
    generator = np.random.default_rng(1)
    labels = np.repeat([0, 2, 3], 20)
    points = np.clip(
        np.repeat([[0.2, 0.2], [0.2, 0.22], [0.8, 0.7]], 20, axis=0) + 0.01 * generator.random((60, 2)), 0, 1
    )
    svg = points_picture(Projection(points, labels, np.arange(60), "t-SNE", 60), ["a", "absent", "c", EVIL])
    assert svg.count('r="2.6"') == 60
    tags = np.array(re.findall(r'<g class="tag">.*?cx="([\d.]+)" cy="([\d.]+)"', svg), np.float64)
    assert len(tags) == 3
    apart = np.linalg.norm(tags[:, None] - tags[None], axis=2)
    assert apart[np.triu_indices(3, 1)].min() > 20
    assert np.linalg.norm(tags[2] - (16 + 608 * np.array([0.8, 0.7]))) < 20
    reader = Reader(svg)
    assert "script" not in reader.tags
    assert reader.texts.count(EVIL) + reader.texts.count(" " + EVIL) == 3
    assert "absent" not in svg
    assert len(set(re.findall(r"background:(hsl[^\"]*)", svg))) == 3


def test_projection_keeps_near_what_is_near() -> None:
    """Clusters stay apart in two dimensions, the seed decides the picture, and few points are no trouble."""
    embeddings, labels = clusters()
    found = project(embeddings, labels, method="t-SNE")
    assert found.points.shape == (120, 2)
    assert (found.points.min(), found.points.max()) == (0.0, 1.0)
    distances = np.linalg.norm(found.points[:, None] - found.points[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    assert np.mean(labels[distances.argmin(1)] == labels) > 0.98
    assert np.array_equal(found.points, project(embeddings, labels, method="t-SNE").points)
    assert project(embeddings[:5], labels[:5], method="t-SNE").points.shape == (5, 2)


def test_projection_takes_of_every_label_its_share() -> None:
    """Of too many windows each label keeps its part and at least one; which they are is said."""
    embeddings, labels = clusters(300)
    labels[:] = 0
    labels[-50:], labels[7] = 1, 2
    found = project(embeddings, labels, method="t-SNE", most=60)
    assert found.windows == 300
    assert np.bincount(found.labels).tolist() == [49, 10, 1]
    assert np.array_equal(labels[found.rows], found.labels)
    assert (np.diff(found.rows) > 0).all()


def test_projection_refuses_what_it_cannot_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Too few windows, labels of others, and UMAP where it is not installed are said; by itself it takes what there is."""
    embeddings, labels = clusters()
    with pytest.raises(ParityError, match="5 at least"):
        project(embeddings[:4], labels[:4])
    with pytest.raises(ParityError, match="expected one each"):
        project(embeddings, labels[:7])
    monkeypatch.setattr(projections, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="pip install umap-learn"):
        project(embeddings, labels, method="UMAP")
    assert project(embeddings[:20], labels[:20]).method == "t-SNE"


def full_page() -> Page:
    embeddings, labels = clusters(40)
    names = ("one", "two", "three", EVIL)
    return Page(
        title=f"demo {EVIL}",
        lead=f"lead {EVIL}",
        highlights=[Highlight(f"what {EVIL}", f"value {EVIL}", f"note {EVIL}")],
        tables=[
            retrieval_table({f"encoder {EVIL}": [direction("imu", f"text {EVIL}", 0.4)]}, title=f"table {EVIL}"),
            recognition_table({f"set {EVIL}": {EVIL: {f"way {EVIL}": scored()}}}),
        ],
        confusions={f"matrix {EVIL}": scored(4, names=list(names)), "without labels": Score(1, 1.0, 1.0)},
        points=[Points(f"points {EVIL}", project(embeddings, labels, method="t-SNE"), names)],
        about={f"Machine {EVIL}": {f"cpu {EVIL}": f"a fast one {EVIL}"}, "Digests": {"weights": "3f" * 32}},
    )


def test_page_escapes_every_text() -> None:
    """Whatever text is given comes back as text; no tag of it becomes one, and every tag is closed."""
    page = render(full_page())
    reader = Reader(page)
    assert "script" not in reader.tags
    assert EVIL not in page
    said = "".join(reader.texts)
    for what in (
        "demo",
        "lead",
        "what",
        "value",
        "note",
        "table",
        "set",
        "way",
        "matrix",
        "points",
        "Machine",
        "cpu",
        "a fast one",
    ):
        assert f"{what} {EVIL}" in said


def test_page_stands_alone() -> None:
    """No link, script, font or picture is loaded; a policy forbids it besides. It follows the reader's dark mode."""
    page = render(full_page())
    reader = Reader(page)
    assert not {"script", "link", "img", "iframe", "object", "a", "image", "use"} & set(reader.tags)
    assert not {"src", "href", "xlink:href", "onload", "onclick"} & {name for name, _ in reader.attributes}
    addresses = {value for name, value in reader.attributes if value and "//" in value}
    assert addresses == {"http://www.w3.org/2000/svg"}  # a name, and no place that is asked
    assert "url(" not in page
    assert "@import" not in page
    assert ("content", "default-src 'none'; style-src 'unsafe-inline'") in reader.attributes
    assert "prefers-color-scheme: dark" in page


def test_page_shows_numbers_intervals_and_footer() -> None:
    """Three decimals, intervals beneath, chance as such, nothing measured as a dash, and the digests at the foot."""
    page = Page(
        "numbers",
        tables=[
            retrieval_table({"a": [direction("imu", "text", 0.41234)]}),
            recognition_table({"s": {"a": {"zero-shot": scored()}, "b": {"from scratch": scored()}}}),
        ],
        about={"Digests": {"weights": "3f" * 32}},
    )
    html = render(page)
    assert "<td>0.412<small>[.362, .462]</small></td>" in html
    assert '<tr class="chance"><td class="name">chance</td><td class="name"></td><td>0.010</td>' in html
    assert html.count('<td class="none">') == 4
    assert "3f" * 32 in html
    assert "<svg" not in html
    assert 'rowspan="2">s</th>' in html


def test_page_is_written_whole(tmp_path: Path) -> None:
    """The file is what `render` gives and nothing lies beside it; a place that cannot be written to is said."""
    page = full_page()
    write(page, tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text("utf-8") == render(page)
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]
    with pytest.raises(SinkError, match="cannot write the result"):
        write(page, tmp_path / "no" / "report.html")

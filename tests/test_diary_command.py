"""`aura-edge diary`: what people and programs are shown of a diary."""

from __future__ import annotations

import io
import json
import re
from datetime import date
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

from aura_edge.commands.diary import app
from aura_edge.diary.day import MINUTES, minutes, of_day, spoken
from aura_edge.diary.page import page, picture
from aura_edge.diary.reading import Account, Spell, account
from aura_edge.diary.screen import account_view
from aura_edge.sinks.diary import DiarySink
from aura_edge.types import NS_PER_S, Prediction

pytest.importorskip("duckdb", reason="the extra diary is not installed")

START_NS = 1_700_000_000 * NS_PER_S
NASTY = "<script>alert('[bold]&\"')</script>"


@pytest.fixture
def diary(tmp_path: Path) -> Path:
    """Twenty minutes of three labels, one of which is no friend."""
    path = tmp_path / "day.duckdb"
    sink = DiarySink(path, source="[red]walk.csv")
    for i in range(240):
        label = ("walking", "sitting", NASTY)[i // 20 % 3]
        t0_ns = i * 5 * NS_PER_S
        sink.emit(
            Prediction(
                t0_ns,
                t0_ns + 5 * NS_PER_S,
                START_NS + t0_ns,
                label,
                0.5,
                "activity",
                (),
                {},
                0.0,
                0.0,
                "m" * 64,
                "p" * 64,
            )
        )
    sink.close()
    return path


def shown(told: Account, width: int = 120) -> str:
    output = io.StringIO()
    Console(file=output, width=width).print(account_view(told))
    return output.getvalue()


def test_the_terminal_shows_everything(diary: Path) -> None:
    """Sessions, a letter for each minute, totals that add up, what followed what; markup in names stays text."""
    text = shown(account(diary))
    assert "[red]walk.csv" in text
    assert NASTY in text
    assert re.search(r"together +20 min 00 s", text)
    assert re.search(r"A+.*B+.*C+", text)
    assert re.search(r"walking +sitting +4\n", text)
    assert "not ended" in text


def test_json_is_the_account(diary: Path) -> None:
    """Programs get the numbers of the account, and its time zone."""
    done = CliRunner().invoke(app, [str(diary), "--json"])
    told = json.loads(done.stdout)
    assert done.exit_code == 0
    assert told["seconds"] == {"sitting": 400.0, "walking": 400.0, NASTY: 400.0}
    assert sum(entry["seconds"] for entry in told["hours"]) == 1200.0
    assert len(told["time_zones"]) == 1


def test_page_and_picture_hold_no_markup_of_labels(diary: Path, tmp_path: Path) -> None:
    """Files are written whole; a label is text in them, and nothing is asked of a network."""
    html, svg = tmp_path / "day.html", tmp_path / "day.svg"
    done = CliRunner().invoke(app, [str(diary), "--html", str(html), "--svg", str(svg)])
    assert done.exit_code == 0
    for text in (html.read_text(), svg.read_text()):
        assert "<script" not in text
        assert "&lt;script&gt;" in text
        assert not re.search(r"(?:src|href)=|url\(|@import", text)
    assert "default-src 'none'" in html.read_text()
    root = ElementTree.fromstring(svg.read_text())
    groups = [one for one in root.iter("{http://www.w3.org/2000/svg}g")]
    widths = [sum(float(rect.attrib["width"]) for rect in group if rect.tag.endswith("rect")) for group in groups]
    assert widths[0] == pytest.approx(400 / 3600 * 680, abs=0.5)  # seconds of the one hour that is drawn
    assert len(groups) == 3


def test_wrong_days_and_places_are_told(diary: Path, tmp_path: Path) -> None:
    """A day that is none is wrong usage; a place that takes no file is one clear error."""
    from aura_edge.errors import SinkError

    assert CliRunner().invoke(app, [str(diary), "--day", "yesterday"]).exit_code == 2
    done = CliRunner().invoke(app, [str(diary), "--html", str(tmp_path / "none" / "x.html")])
    assert isinstance(done.exception, SinkError)


def test_an_empty_diary_is_shown(tmp_path: Path) -> None:
    """There is nothing, and that is no error."""
    DiarySink(tmp_path / "d").close()
    told = account(tmp_path / "d")
    assert "together" in shown(told)
    assert "<table" in page(told)
    assert picture(told, date(2023, 1, 1)).startswith("<svg")


@given(
    st.lists(st.tuples(st.integers(-2000, 90_000), st.integers(1, 7200), st.sampled_from("abc")), max_size=8),
)
def test_minutes_belong_to_the_label_that_fills_most(stays: list[tuple[int, int, str]]) -> None:
    """A minute has a label exactly where a spell lies in it, and one of those that do."""
    from datetime import datetime, timedelta

    day = date(2023, 11, 15)
    midnight = datetime(2023, 11, 15)
    spells = [
        Spell(1, label, "activity", midnight + timedelta(seconds=at), midnight + timedelta(seconds=at + long), long)
        for at, long, label in stays
    ]
    filled = minutes(spells, day)
    assert len(filled) == MINUTES
    for minute in range(0, MINUTES, 7):
        there = {label for at, long, label in stays if at < minute * 60 + 60 and at + long > minute * 60}
        assert (filled[minute] in there) if there else filled[minute] is None
    assert all(0 <= start < end <= MINUTES for _, start, end in of_day(spells, day))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0.0 s"), (59.94, "59.9 s"), (61, "1 min 01 s"), (3599.6, "1 h 00 min"), (7500, "2 h 05 min")],
)
def test_lengths_of_time_are_said_for_people(seconds: float, text: str) -> None:
    """No minute has sixty seconds."""
    assert spoken(seconds) == text

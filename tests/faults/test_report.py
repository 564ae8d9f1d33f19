"""The report under hostile and extreme records: nothing is executed, nothing breaks."""

from __future__ import annotations

import math
from html.parser import HTMLParser

import pytest

from fathom.core.record import Figure, Record, not_applicable, skipped
from fathom.report import SchemaRow, Story, summary_json, summary_lines, write_report
from fathom.report.figures import draw
from fathom.report.templating import safe_image

HOSTILE = "<script>alert('x')</script>\"><img src=x onerror=alert(1)> $\\frac{$ {{ 7*7 }} | `#`"


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.handlers: set[str] = set()
        self.sources: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.seen.add(tag)
        self.handlers |= {name for name, _ in attributes if name.startswith("on")}
        self.sources += [value for name, value in attributes if name == "src"]


def story(**changes) -> Story:
    settings = {
        "name": "run",
        "task": "Tell a from b",
        "created": "2026-01-01",
        "command": "fathom fit x.csv",
        "repeat_command": "fathom fit runs/run/plan.yaml",
        "predict_command": "fathom predict runs/run new.csv",
        "rows": 0,
        "columns": 0,
        "splits": {},
        "schema": (),
        "plan_yaml": "",
        "why": {},
        "versions": {},
        "hardware": {},
        "default_model": "network",
        "seconds": 1.0,
    }
    return Story(**(settings | changes))


def page(tmp_path, records, **changes) -> str:
    return write_report(tmp_path, records, story(**changes)).read_text(encoding="utf-8")


def figures(text: str) -> list[Figure]:
    """Every kind of figure with `text` wherever there is text."""
    bins = {"confidence": [0.5], "accuracy": [0.5], "count": [1]}
    table = {"columns": [text, "b"], "rows": [[text, 1.0]]}
    layer = {"name": text, "type": text, "output_shape": [3], "parameters": 3}
    item = {"image": text, "row": {text: text}, "truth": text, "said": text, "where": text}
    step = {"title": text, "sentence": text, "table": table, "formula": text, "image": text}
    return [
        Figure("bars", {"labels": [text], "values": [1.0], "x_label": text}),
        Figure("bars", {"labels": [text], "values": [1.0], "low": [0.9], "high": [1.1]}),
        Figure(
            "curves",
            {
                "series": [{"name": text, "x": [0, 1], "y": [1, 2]}] * 2,
                "x_label": text,
                "y_label": text,
            },
        ),
        Figure("confusion", {"labels": [text, "b"], "counts": [[1, 2], [3, 4]]}),
        Figure(
            "confusion", {"labels": [f"{text} {k}" for k in range(30)], "counts": [[1] * 30] * 30}
        ),
        Figure("reliability", {"before": bins, "after": bins}),
        Figure("scatter", {"x": [1], "y": [2], "x_label": text, "y_label": text}),
        Figure(
            "histogram",
            {"edges": [0, 1, 2], "series": [{"name": text, "counts": [1, 2]}] * 2, "x_label": text},
        ),
        Figure("table", table),
        Figure("layers", {"rows": [layer]}),
        Figure("walkthrough", {"steps": [step]}),
        Figure("examples", {"items": [item]}),
        Figure("pictures", {"items": [{"image": text, "caption": text}]}),
        Figure(text, {text: text}),
    ]


def test_hostile_texts_stay_text(tmp_path):
    records = [
        Record(f"data.{k}", "data", HOSTILE, value=HOSTILE, method=HOSTILE, figure=figure)
        for k, figure in enumerate(figures(HOSTILE))
    ]
    records += [
        skipped(HOSTILE, HOSTILE, HOSTILE),
        Record("verdict", "verdict", HOSTILE, value="x"),
    ]
    text = page(
        tmp_path,
        records,
        name=HOSTILE,
        task=HOSTILE,
        command=HOSTILE,
        schema=(SchemaRow(HOSTILE, HOSTILE, "target", HOSTILE),),
        plan_yaml=HOSTILE,
        why={HOSTILE: HOSTILE},
        versions={HOSTILE: HOSTILE},
        hardware={HOSTILE: HOSTILE},
        warnings=(HOSTILE,),
        splits={HOSTILE: 3},
    )
    tags = Tags(text)
    assert "script" not in tags.seen
    assert not tags.handlers
    assert all(source.startswith("data:image/") for source in tags.sources)
    assert "49" not in [word.strip(" |") for word in text.split()]
    assert "&lt;script&gt;" in text
    card = (tmp_path / "card.md").read_text(encoding="utf-8")
    assert "<script>" not in card.replace("\\<script\\>", "").replace(f"    {HOSTILE}", "").replace(
        "`" + HOSTILE.replace("`", "'") + "`", ""
    )


@pytest.mark.parametrize(
    "uri",
    [
        "javascript:alert(1)",
        "data:text/html;base64,PHNjcmlwdD4=",
        "data:image/svg+xml;base64,PHN2Zz4=",
        "http://example.org/a.png",
        'data:image/png;base64,AAAA" onerror="alert(1)',
        "data:image/png;base64,AAAA\n",
        "",
        None,
    ],
)
def test_only_plain_pictures_are_shown(uri):
    assert safe_image(uri) == ""


def test_png_and_jpeg_are_shown():
    for kind in ("png", "jpeg"):
        assert safe_image(f"data:image/{kind};base64,iVBOR+/=") != ""


def test_no_records_at_all(tmp_path):
    text = page(tmp_path, [])
    assert "No verdict could be reached." in text
    assert summary_lines([], story())
    assert summary_json([], story())["verdict"] is None
    assert summary_json([], story())["metrics"] == {}


def test_a_run_of_which_nothing_could_be_measured(tmp_path):
    reason = "Only one class occurs, so that there is nothing to rank."
    records = [
        not_applicable("verdict", "verdict", reason),
        not_applicable("performance.roc_auc", "performance", reason),
        skipped("calibration.ece", "calibration", "The time was spent."),
    ]
    text = page(tmp_path, records)
    assert "No verdict could be reached." in text
    assert "What was not measured" in text
    assert reason in text


def test_values_that_are_not_finite_are_dashes(tmp_path):
    records = [
        Record(
            "performance.log_loss", "performance", "Lost.", value=math.inf, interval=(0.0, math.inf)
        ),
        Record("performance.r2", "performance", "Lost.", value=math.nan),
        Record(
            "performance.mae", "performance", "Found.", value=2.0, interval=(math.nan, math.inf)
        ),
        Record("baseline.constant.mae", "baseline", "Found.", value=3.0),
        Record("gain.mae", "gain", "Found.", value=1.0),
        Record("cost.flops", "cost", "Lost.", value=math.nan, unit="FLOP"),
        Record("cost.train_seconds", "cost", "Lost.", value=math.inf, unit="s"),
    ]
    text = page(tmp_path, records)
    body = text[text.index("<main>") :]
    assert "nan" not in body.lower().replace("finance", "")
    assert ">inf" not in body
    assert summary_lines(records, story())


@pytest.mark.parametrize("hole", [None, math.nan, math.inf])
def test_holes_in_figures(hole):
    for figure in [
        Figure("bars", {"labels": ["a", "b"], "values": [1.0, hole]}),
        Figure(
            "bars",
            {"labels": ["a", "b"], "values": [1.0, hole], "low": [0, hole], "high": [2, hole]},
        ),
        Figure(
            "curves", {"series": [{"name": "a", "x": [0, 1, 2], "y": [1, hole, 2]}], "log_y": True}
        ),
        Figure("curves", {"series": [{"name": "a", "x": [0], "y": [hole]}], "log_y": True}),
        Figure("scatter", {"x": [1.0, hole], "y": [2.0, 1.0], "diagonal": True}),
        Figure("histogram", {"edges": [0, 1, 2], "series": [{"name": "a", "counts": [1, hole]}]}),
    ]:
        drawing = draw(figure)
        assert "hole" not in drawing.caption
        assert "figure of the kind" not in drawing.caption, figure
        assert "nan" not in drawing.markup, figure


def test_empty_figures(tmp_path):
    nothing = {"confidence": [], "accuracy": [], "count": []}
    for figure in [
        Figure("bars", {"labels": [], "values": []}),
        Figure("bars", {"labels": [], "values": [], "low": [], "high": []}),
        Figure("curves", {"series": []}),
        Figure("confusion", {"labels": [], "counts": []}),
        Figure("reliability", {"before": nothing, "after": nothing}),
        Figure("scatter", {"x": [], "y": [], "diagonal": True}),
        Figure("histogram", {"edges": [0, 1], "series": []}),
        Figure("table", {"columns": [], "rows": []}),
        Figure("layers", {"rows": []}),
        Figure("walkthrough", {"steps": []}),
        Figure("examples", {"items": []}),
        Figure("pictures", {"items": []}),
    ]:
        assert "figure of the kind" not in draw(figure).caption, figure


def test_constant_values_and_one_class():
    for figure in [
        Figure("confusion", {"labels": ["only"], "counts": [[7]]}),
        Figure("bars", {"labels": ["a"], "values": [0.0], "low": [0.0], "high": [0.0]}),
        Figure("bars", {"labels": ["a"], "values": [0.0]}),
        Figure("scatter", {"x": [3.0, 3.0], "y": [3.0, 3.0], "diagonal": True}),
        Figure("curves", {"series": [{"name": "a", "x": [5], "y": [5]}]}),
        Figure("curves", {"series": [{"name": "a", "x": [1, 2], "y": [0, 0]}], "log_y": True}),
        Figure("histogram", {"edges": [1, 1], "series": [{"name": "a", "counts": [5]}]}),
    ]:
        assert "nan" not in draw(figure).markup


def test_many_classes_and_columns_stay_in_their_boxes(tmp_path):
    labels = [f"class number {k} with a long name" for k in range(77)]
    counts = [[9 if i == j else (i * j) % 11 == 1 for j in range(77)] for i in range(77)]
    figure = Figure(
        "confusion", {"labels": labels, "counts": [[int(c) for c in r] for r in counts]}
    )
    rows = {"items": [{"truth": 1, "said": 2, "row": {f"c{k}": "x" * 50 for k in range(100)}}]}
    schema = tuple(SchemaRow("long_" * 40 + str(k), "number", "input", "r") for k in range(100))
    records = [
        Record("performance.accuracy", "performance", "So so.", value=0.5, figure=figure),
        Record("worst.examples", "worst", "Bad.", figure=Figure("examples", rows)),
    ]
    text = page(tmp_path, records, schema=schema)
    assert len(text) < 2_000_000
    for start in (text.index('<svg class="map"'), text.index('<table class="rows">')):
        assert 'class="scroll"' in text[start - 200 : start]


def test_a_plan_that_does_not_parse_still_gives_its_reasons(tmp_path):
    text = page(tmp_path, [], plan_yaml="a: [1, 2", why={"a.b": "Because."})
    assert "Because." in text

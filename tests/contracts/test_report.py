"""The report: complete, self-contained, the same for the same records, and without torch."""

from __future__ import annotations

import json
import subprocess
import sys
from html.parser import HTMLParser

import msgspec
import pytest
import sample_records

from fathom.baselines import BASELINES
from fathom.core.files import to_json
from fathom.core.record import Evidence, Figure, Record, not_applicable
from fathom.core.schema import CategoryStatistics, Field, Schema
from fathom.evidence import rivals
from fathom.report import Story, summary_json, summary_lines, words, write_report
from fathom.report.figures import FIGURES, draw
from fathom.report.findings import Findings
from fathom.report.story import schema_rows

SAMPLES = {
    "digits": sample_records.digits,
    "adult": sample_records.adult,
    "housing": sample_records.housing,
}
KINDS = (
    "bars",
    "curves",
    "confusion",
    "reliability",
    "scatter",
    "histogram",
    "table",
    "layers",
    "walkthrough",
    "examples",
    "pictures",
    "attention",
    "channels",
    "depth",
    "heatmap",
    "samples",
)
VOID = {"meta", "link", "br", "img", "hr", "input"}


class Page(HTMLParser):
    """Elements with their attributes; fails where tags do not close in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        assert not self.open, self.open

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, f"</{tag}> closes {self.open[-2:]}"

    def named(self, *tags: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.elements if tag in tags]


@pytest.fixture(scope="module", params=SAMPLES)
def run(request, tmp_path_factory):
    records, story = SAMPLES[request.param]()
    folder = tmp_path_factory.mktemp(request.param)
    path = write_report(folder, records, story)
    return records, story, folder, path.read_text(encoding="utf-8")


def test_every_agreed_kind_of_figure_is_registered():
    assert set(FIGURES) == set(KINDS)


def test_the_page_is_well_formed_and_small(run):
    *_, text = run
    assert Page(text).named("figure")
    assert len(text.encode()) < 2_000_000


def test_nothing_is_loaded_from_anywhere(run):
    *_, text = run
    page = Page(text)
    assert not page.named("script", "link", "iframe", "object", "embed", "base", "form")
    for attributes in page.named("img"):
        assert attributes["src"].startswith(("data:image/png;base64,", "data:image/jpeg;base64,"))
    for attributes in page.named("a", "use"):
        target = attributes.get("href") or attributes.get("xlink:href")
        assert target.startswith("#")
    style = text[text.index("<style>") : text.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style


def test_ids_are_unique_and_links_lead_somewhere(run):
    *_, text = run
    elements = [attributes for _, attributes in Page(text).elements]
    ids = [a["id"] for a in elements if "id" in a]
    assert len(ids) == len(set(ids))
    targets = [a.get("href") or a.get("xlink:href") for a in elements]
    assert {t.removeprefix("#") for t in targets if t} <= set(ids)


def test_headings_descend_step_by_step_and_pictures_have_words(run):
    *_, text = run
    page = Page(text)
    levels = [int(tag[1]) for tag, _ in page.elements if tag in {"h1", "h2", "h3", "h4"}]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(attributes.get("alt") for attributes in page.named("img"))
    for attributes in page.named("svg"):
        assert attributes.get("aria-label") or attributes.get("aria-hidden") == "true"
    assert all("scope" in attributes for attributes in page.named("th"))


def test_no_figure_brings_colours_of_its_own(run):
    *_, text = run
    body = text[text.index("<body>") :]
    assert "#01020" not in body
    assert "#000000" not in body
    assert "DejaVu" not in body


def test_every_sentence_that_was_measured_is_told_or_tabled(run):
    records, _, _, text = run
    parts = {r.id for r in records if r.status == "measured" and f"<code>{r.id}</code>" in text}
    for record in records:
        if record.status == "measured" and record.group in {"data", "training", "anatomy", "worst"}:
            assert record.id in parts


def test_sections_come_in_their_order(run):
    *_, text = run
    page = Page(text)
    ids = [attributes["id"] for attributes in page.named("section")]
    order = "verdict data result baselines overfitting training calibration anatomy mistakes cost"
    wanted = [*order.split(), "not-measured", "repeat"]
    assert ids == [id for id in wanted if id in ids]
    assert ids[0] == "verdict"
    assert ids[-1] == "repeat"


def test_equal_records_give_equal_bytes_also_from_disk(run, tmp_path):
    records, story, folder, text = run
    evidence = msgspec.json.decode(to_json(Evidence(tuple(records))), type=Evidence)
    again = msgspec.json.decode(to_json(story), type=Story)
    path = write_report(tmp_path, evidence.records, again)
    assert path.read_text(encoding="utf-8") == text
    assert (tmp_path / "card.md").read_bytes() == (folder / "card.md").read_bytes()


def test_the_card_has_the_sections_of_a_model_card(run):
    records, _, folder, _ = run
    card = (folder / "card.md").read_text(encoding="utf-8")
    headings = [line[3:] for line in card.splitlines() if line.startswith("## ")]
    assert headings == [
        "Details",
        "Intended use and limits",
        "Data",
        "Metrics",
        "Calibration",
        "Cost",
        "Caveats",
        "How to repeat it",
    ]
    for record in records:
        if record.status == "skipped":
            assert record.id in card
    table = [line for line in card.splitlines() if line.startswith("| ")]
    assert len({line.count("|") for line in table}) == 1
    assert "\n\n\n" not in card


def test_summary_is_short_and_says_what_matters(run):
    records, story, *_ = run
    lines = summary_lines(records, story)
    assert len(lines) <= 15
    text = "\n".join(lines)
    assert f"{story.folder}/report.html" in text
    assert "1 min 27 s of 1 min 30 s" in text
    findings = Findings(records, story)
    assert findings.best_baseline == "boosting"
    assert "boosting" in text


def test_the_summary_counts_all_warnings_not_those_that_are_shown():
    records, story = sample_records.adult()
    changed = {
        "warnings": (*(f"file {i}" for i in range(20)), "… and 20 more."),
        "warning_count": 40,
    }
    lines = summary_lines(records, msgspec.structs.replace(story, **changed))
    assert any("file 0 (and 39 more)" in line for line in lines)


def test_summary_json_is_json_with_intervals(run):
    records, story, *_ = run
    summary = json.loads(json.dumps(summary_json(records, story)))
    assert summary["verdict"] == next(r.value for r in records if r.id == "verdict")
    primary = f"performance.{summary['primary']}"
    record = next(r for r in records if r.id == primary)
    assert summary["metrics"][primary]["value"] == record.value
    assert summary["metrics"][primary]["interval"] == list(record.interval)
    assert summary["run"] == story.folder
    assert summary["seconds"] == story.seconds
    assert all(summary["not_measured"].values())


def test_the_best_baseline_is_the_best_by_the_metrics_own_direction():
    records, story = sample_records.housing()
    assert Findings(records, story).primary == "rmse"
    assert Findings(records, story).best_baseline == "boosting"
    named = msgspec.structs.replace(story, best_baseline="linear")
    assert Findings(records, named).best_baseline == "linear"


def test_headlines():
    _, story = sample_records.digits()

    def headline(value, sentence, grade="good"):
        record = sample_records.verdict(value, sentence, 10, grade)
        return Findings([record], story).headline[0]

    assert headline("network", "Use the network. It is better: 9 against 8.") == "Use the network."
    assert headline("baseline", "Do not use the network. It is worse.") == "Do not use the network."
    assert (
        headline("level", "The two are level: 9 against 9. Take either.")
        == "The two are level: 9 against 9."
    )
    long = "The network and gradient boosting are level: its accuracy is 98.1 % against 98.0 %."
    assert headline("level", long) == "Too close to call."
    assert (
        headline("level", "The network has " + "learned nothing " * 5, "poor")
        == "Nothing was learned."
    )


def recommending(value, grade, default):
    """Findings with a verdict, of a run whose default is `default`."""
    records, story = sample_records.digits()
    kept = [r for r in records if r.id != "verdict"]
    verdict = sample_records.verdict(value, "It is so. As said.", 10, grade)
    return [verdict, *kept], msgspec.structs.replace(story, default_model=default)


@pytest.mark.parametrize(
    ("value", "grade", "default", "option"),
    [
        ("level", "fair", "network", "baseline"),
        ("baseline", "fair", "network", "baseline"),
        ("network", "good", "baseline", "network"),
        ("network", "good", "network", ""),
        ("level", "fair", "baseline", ""),
        ("level", "poor", "network", ""),
        ("level", "unknown", "network", ""),
    ],
)
def test_the_command_names_a_model_that_is_not_the_default(value, grade, default, option, tmp_path):
    records, story = recommending(value, grade, default)
    lines = summary_lines(records, story)
    predict = next(line for line in lines if line.startswith("predict"))
    assert predict.endswith(f"--model {option}" if option else "new.csv")
    page = write_report(tmp_path, records, story).read_text(encoding="utf-8")
    for text in (" ".join(" ".join(lines).split()), page):
        assert ("better one on validation data; on test data" in text) == bool(option)
        assert (f"--model {option}" in text) == bool(option) or not option
    assert len(lines) <= 15


def with_straddlers(unseen):
    records, story = sample_records.digits()
    return [*records, unseen], story


def test_test_examples_from_the_training_data_are_warned_of(tmp_path):
    metric = Findings(*sample_records.digits()).primary
    id = f"performance.{metric}"
    n = next(r.n for r in sample_records.digits()[0] if r.id == id)
    apart = sample_records.scored("performance", f"{metric}.unseen", 0.5, 0.1, n - 7)
    reason = f"All {n:,} test examples also stand in the training data."
    for unseen, said in (
        (apart, f"7 of {n:,} test examples also stand in the training data"),
        (not_applicable(apart.id, "performance", reason), reason),
    ):
        records, story = with_straddlers(unseen)
        lines = summary_lines(records, story)
        assert len(lines) <= 15
        assert any(line.startswith("warning") and said in line for line in lines)
        page = write_report(tmp_path, records, story).read_text(encoding="utf-8")
        assert said in page
        assert said in (tmp_path / "card.md").read_text(encoding="utf-8")
        assert "unseen" not in Findings(records, story).metrics
    assert words.record_value(apart) == words.metric_value(metric, 0.5)


def test_weaknesses_are_the_networks_own():
    _, story = sample_records.digits()
    poor = [
        sample_records.scored("baseline", "constant.accuracy", 0.1, 0.01, 9, grade="poor"),
        sample_records.scored("gap", "accuracy", 0.3, 0.01, 9, grade="poor"),
    ]
    assert [r.id for r in Findings(poor, story).weaknesses] == ["gap.accuracy"]


def test_how_numbers_are_written():
    assert words.metric_value("accuracy", 0.9718) == "97.2 %"
    assert words.metric_value("accuracy", -0.004, signed=True) == "−0.4 points"
    assert words.metric_interval("accuracy", (0.95, 0.98)) == "95.0 to 98.0 %"
    assert words.metric_value("accuracy", 0.0004, signed=True) == "+0.04 points"  # as sentences do
    assert words.metric_value("roc_auc", -0.00134, signed=True) == "−0.0013"
    assert words.metric_value("rmse", 48210.0) == "48,210"
    assert words.number(8.32e-7) == "8.32 × 10⁻⁷"
    assert words.number(0.0) == "0"
    assert words.number(-1234.5) == "−1,234"
    assert words.amount(0.00042, "s") == "420 µs"
    assert words.amount(912e6, "bytes") == "912 MB"
    assert words.amount(0.052, "share") == "5.2 %"


def test_an_unknown_kind_and_odd_data_become_a_plain_table():
    unknown = draw(Figure("hologram", {"depth": [1.0, 2.5], "name": "x"}))
    assert "<table>" in unknown.markup
    assert "hologram" in unknown.caption
    for kind in KINDS:
        odd = draw(Figure(kind, {"nonsense": {"deep": [None, True, 3]}}))
        assert "<table>" in odd.markup, kind


def test_gain_axis_dots_lie_where_the_values_are():
    data = {"labels": ["a", "b"], "values": [1.0, 3.0], "low": [0.0, 2.0], "high": [2.0, 4.0]}
    markup = draw(Figure("bars", data)).markup
    # The axis runs from 0 - 6 % to 4 + 6 % of the range.
    assert f"M{round(100 * 1.24 / 4.48, 2)} 5h0" in markup
    assert f"M{round(100 * 3.24 / 4.48, 2)} 5h0" in markup
    assert f"M{round(100 * 2.24 / 4.48, 2)} 5H{round(100 * 4.24 / 4.48, 2)}" in markup


def test_bars_from_zero_also_where_values_are_negative():
    markup = draw(Figure("bars", {"labels": ["a", "b"], "values": [-1.0, 3.0]})).markup
    assert 'x="0.0" y="0" width="25.0"' in markup
    assert 'x="25.0" y="0" width="75.0"' in markup


def test_later_groups_get_a_section_of_their_own(tmp_path):
    _, story = sample_records.digits()
    record = Record("ood.detection", "ood", "Foreign pictures are told apart.", value=0.9)
    text = write_report(tmp_path, [record], story).read_text(encoding="utf-8")
    assert "<h2>Ood</h2>" in text
    assert "Foreign pictures are told apart." in text


def test_schema_rows_take_over_every_field():
    statistics = CategoryStatistics(("a", "b"), (3, 4))
    fields = (
        Field("x", "number", "input", "numbers"),
        Field("y", "category", "target", "named", statistics),
    )
    rows = schema_rows(Schema("classification", fields))
    assert [(row.name, row.kind, row.role) for row in rows] == [
        ("x", "number", "input"),
        ("y", "category", "target"),
    ]


def test_the_report_loads_no_torch(tmp_path):
    records, story = sample_records.adult()
    (tmp_path / "evidence.json").write_bytes(to_json(Evidence(tuple(records))))
    (tmp_path / "story.json").write_bytes(to_json(story))
    code = (
        "import sys; from pathlib import Path; from fathom.core.files import read_json; "
        "from fathom.core.record import Evidence; from fathom.report import Story, write_report; "
        "folder = Path(sys.argv[1]); story = read_json(folder / 'story.json', Story); "
        "write_report(folder, read_json(folder / 'evidence.json', Evidence).records, story); "
        "heavy = {'torch', 'pandas', 'sklearn', 'matplotlib.pyplot'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert (tmp_path / "report.html").exists()


def test_counts_have_no_tick_between_two_of_them() -> None:
    series = [{"name": "each trial", "x": [1, 2, 3, 4], "y": [0.1, 0.3, 0.2, 0.4]}]
    markup = str(draw(Figure("curves", {"series": series, "x_label": "trial"})).markup)
    assert ">1.5<" not in markup
    assert ">3<" in markup
    series[0]["x"] = [1.1, 2, 3, 4]
    assert ">1.5<" in str(draw(Figure("curves", {"series": series, "x_label": "hours"})).markup)


def test_every_baseline_has_a_name_in_words():
    for names in (words.MODEL_TITLES, rivals.TITLES, rivals.STRENGTHS):
        assert set(BASELINES) <= set(names)
    assert words.model_phrase("audio") == "gradient boosting on features of sound"
    assert words.model_phrase("texts") == "the linear model on words"

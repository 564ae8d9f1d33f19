"""`check_language_evidence`: what every kind of evidence of language owes to report and user."""

from __future__ import annotations

import copy
import re
from dataclasses import replace

import msgspec
import pytest
import sample_records
import torch
from test_evidence import FIGURES, GROUPS, assert_finite

from fathom.core.budget import Budget
from fathom.core.record import Evidence, Record
from fathom.evidence import gather
from fathom.evidence.language import LANGUAGE_EVIDENCE, LanguageSubject
from fathom.report import SchemaRow, Story, summary_json, summary_lines, words, write_report
from fathom.report.figures import draw
from language_subjects import SPECS, fresh

KINDS = list(LANGUAGE_EVIDENCE)
ESSENTIAL = [name for name, kind in LANGUAGE_EVIDENCE.items() if kind.essential]
OPTIONAL = [name for name in KINDS if name not in ESSENTIAL]
SUBJECTS = [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in SPECS]
LANGUAGE_GROUPS = GROUPS | {"data", "context", "in_context", "memorisation", "samples"}
LANGUAGE_FIGURES = FIGURES | {"histogram": {"edges", "series", "x_label"}}
LANGUAGE_FIGURES |= {"samples": {"items", "caption"}}
# What a figure may have besides.
OPTIONAL_KEYS = {"curves": {"log_x"}, "bars": {"decimals"}}
TIMED = {
    "cost.latency_seconds",
    "cost.writing_tokens_per_second",
    "cost.flops_utilisation",
    "cost.energy_joules",
}
READERS = {"performance", "comparison", "gap", "context", "in_context", "calibration"}
READERS |= {"memorisation", "overlap", "samples"}


def check_record(record: Record) -> None:
    assert record.group in LANGUAGE_GROUPS
    assert record.id == record.group or record.id.startswith(record.group + "."), record.id
    assert re.fullmatch(r"[A-Z0-9].*[.)]", record.sentence, re.S), record.sentence
    assert not re.search(r"\bnan\b|[{}]|None|\binf\b|  ", record.sentence), record.sentence
    assert_finite(msgspec.to_builtins(record))
    if record.status == "measured":
        assert record.value is not None
        assert record.method
        assert not record.reason
    else:
        assert record.reason
        assert record.value is None
    if record.interval is not None:
        low, high = record.interval
        assert low <= record.value <= high
    if record.n is not None:
        assert record.n >= 1
    if record.figure is not None:
        kind, keys = record.figure.kind, set(record.figure.data)
        assert keys - OPTIONAL_KEYS.get(kind, set()) == LANGUAGE_FIGURES[kind]
        assert "The numbers behind" not in draw(record.figure).caption


def gathered(subject: LanguageSubject) -> list[Record]:
    faults: list[str] = []
    records = gather(
        subject,
        Budget(120),
        on_fault=lambda name, text: faults.append(text),
        kinds=LANGUAGE_EVIDENCE,
    )
    assert faults == []
    return records


@pytest.mark.parametrize("name", SUBJECTS)
@pytest.mark.parametrize("kind", KINDS)
def test_records_are_well_formed(kind: str, name: str) -> None:
    records = LANGUAGE_EVIDENCE[kind].measure(fresh(name), Budget(60))
    assert records
    for record in records:
        check_record(record)


@pytest.mark.parametrize("name", SUBJECTS)
def test_gathered_evidence_survives_json_with_unique_ids(name: str) -> None:
    records = gathered(fresh(name))
    assert len({record.id for record in records}) == len(records)
    evidence = Evidence(tuple(records))
    assert msgspec.json.decode(msgspec.json.encode(evidence), type=Evidence) == evidence
    assert not [record.id for record in records if record.status == "skipped"]


@pytest.mark.parametrize("kind", OPTIONAL)
def test_a_spent_budget_is_said_and_nothing_is_read(kind: str) -> None:
    readings: list[str] = []
    subject = fresh("tales-gpt", on_test_access=readings.append)
    spent = Budget(1.0, clock=iter([0.0, *[9.0] * 1000]).__next__)
    for record in LANGUAGE_EVIDENCE[kind].measure(subject, spent):
        check_record(record)
        assert record.status == "skipped"
        assert "--budget" in record.reason
    assert readings == []


@pytest.mark.parametrize("kind", OPTIONAL)
def test_what_would_not_fit_is_skipped_with_both_durations(kind: str) -> None:
    readings: list[str] = []
    subject = fresh("tales-gpt", on_test_access=readings.append)
    frozen = Budget(1e-4, clock=lambda: 0.0)
    for record in LANGUAGE_EVIDENCE[kind].measure(subject, frozen):
        check_record(record)
        assert record.status == "skipped"
        assert "would take about" in record.reason
    assert readings == []


@pytest.mark.parametrize("kind", ESSENTIAL)
def test_what_is_essential_may_end_late_but_not_by_much(kind: str) -> None:
    spent = Budget(1e-9)
    measured = LANGUAGE_EVIDENCE[kind].measure(fresh("tales-gpt"), spent)
    assert {record.status for record in measured} == {"measured"}
    dear = replace(LANGUAGE_EVIDENCE[kind], seconds=lambda subject: 60.0)
    assert {r.status for r in dear.measure(fresh("tales-gpt"), spent)} == {"skipped"}


def test_skipped_ids_are_ids_that_are_measured_otherwise() -> None:
    known = {record.id for record in gathered(fresh("tales-gpt"))}
    records = gather(fresh("tales-gpt"), Budget(1e-9), kinds=LANGUAGE_EVIDENCE)
    assert "skipped" in {record.status for record in records}
    assert {record.id for record in records} <= known


@pytest.mark.parametrize("name", SUBJECTS)
def test_the_same_subject_gives_the_same_evidence(name: str) -> None:
    first, second = (
        {r.id: r for r in gathered(fresh(name)) if r.id not in TIMED} for _ in range(2)
    )
    assert first == second


def test_nothing_touches_the_network() -> None:
    subject = fresh("tales-gpt")
    network = subject.network.model.network
    before = copy.deepcopy(network.state_dict())
    gathered(subject)
    after = network.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert not network.training
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())


def test_every_reader_of_the_test_split_is_told_once() -> None:
    readings: list[str] = []
    gathered(fresh("tales-gpt", on_test_access=readings.append))
    assert sorted(readings) == sorted(READERS)


def test_sample_sizes_of_the_plan_are_kept() -> None:
    samples = {
        "test": 3_000,
        "train": 300,
        "in_context.recall": 60,
        "memorisation": 20,
        "samples": 5,
    }
    subject = fresh("tales-gpt", samples=samples)
    records = {record.id: record for record in gathered(subject)}
    assert 2_800 < records["performance.bits_per_byte"].n <= 3_000
    assert "300 tokens" in records["gap.bits_per_byte"].method
    assert records["in_context.recall"].n == 60
    assert records["memorisation.extracted"].n == 20
    assert records["samples.distinct"].n == 5


def test_little_time_is_made_do_with_and_the_number_of_tokens_is_told() -> None:
    subject = fresh("novel-gpt")
    slow = 1e-3  # seconds a token, as a far larger network would take
    subject.rate("network", lambda: slow)
    documents = {name: subject.splits[name].predicted for name in ("test", "train")}
    assert documents["test"] > 10_000
    kind = replace(LANGUAGE_EVIDENCE["performance"], seconds=lambda subject: 0.0)
    record = kind.measure(subject, Budget(1e-3, clock=lambda: 0.0))[0]
    assert record.status == "measured"
    assert record.n == 10_000


# ---- what the report makes of it ----


def story(**changes: object) -> Story:
    return sample_records.story(
        "tales",
        "Say which token of 320 comes next in a text, and so write texts.",
        200,
        (SchemaRow("text", "text", "input", "Byte pairs."),),
        unit_of_rows="documents",
        primary="bits_per_byte",
        best_baseline="kneser_ney",
        predict_command='fathom sample runs/tales "How a text begins"',
        **changes,
    )


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    records, told = gathered(fresh("tales-gpt")), story()
    path = write_report(tmp_path_factory.mktemp("tales"), records, told)
    return records, path.read_text(encoding="utf-8"), path.with_name("card.md").read_text()


def test_the_page_has_a_section_for_each_question(reported) -> None:
    records, page, _ = reported
    for heading in (
        "How far back does it look?",
        "Does it learn from its prompt?",
        "Does it recite its training text?",
        "What it writes",
    ):
        assert f"<h2>{heading}</h2>" in page
    for record in records:
        if record.status == "measured" and record.group in {"samples", "in_context", "context"}:
            assert f"<code>{record.id}</code>" in page
    assert '<span class="given">' in page
    assert "Kneser-Ney n-grams" in page
    assert "fathom sample" in page
    assert "--model" not in page


def test_the_card_warns_of_a_network_that_writes(reported) -> None:
    records, _, card = reported
    assert "It makes things up" in card
    assert "200 documents" in card
    assert "columns" not in card
    assert "Inputs:" not in card
    written = [r for r in records if r.group in {"samples", "memorisation"}]
    told = [r for r in written if r.status == "measured"]
    assert all(words.first_sentence(r.sentence)[0][:40] in card for r in told)
    table = [line for line in card.splitlines() if line.startswith("| ")]
    assert len({line.count("|") for line in table}) == 1
    assert "\n\n\n" not in card


def test_the_summary_is_short_and_in_bits_for_a_byte(reported) -> None:
    records, _, _ = reported
    lines = summary_lines(records, story(default_model="network"))
    assert len(lines) <= 15
    bits = next(r for r in records if r.id == "performance.bits_per_byte")
    assert f"Bits per byte {bits.value:.3f}" in "\n".join(lines)
    assert any(line.startswith("sample") for line in lines)
    summary = summary_json(records, story())
    assert summary["primary"] == "bits_per_byte"
    assert summary["best_baseline"] == "kneser_ney"


def test_every_language_record_has_a_title_of_its_own(reported) -> None:
    records, _, _ = reported
    own = [r for r in records if r.group in {"context", "in_context", "memorisation", "samples"}]
    titles = [words.record_title(record) for record in own]
    assert len(set(titles)) == len(titles)
    assert words.metric_value("bits_per_byte", 1.2345) == "1.234"
    assert words.metric_value("bits_per_byte", -0.0123, signed=True) == "−0.012"
    assert words.model_phrase("kneser_ney") == "the Kneser-Ney n-gram model"


def test_samples_are_shown_as_they_were_written_and_do_no_harm() -> None:
    item = {"prompt": "a  b\n", "text": "<script>x</script>\x00 end"}
    drawing = draw(sample_records.Figure("samples", {"items": [item], "caption": "Texts."}))
    assert "a  b\n" in drawing.markup
    assert "<script>" not in drawing.markup
    assert "\x00" not in drawing.markup

"""A corpus that cannot be read: one sentence, naming the place and the way out."""

from __future__ import annotations

import errno
import gzip
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fathom.core.errors import ArtefactError, DataError, PlanError, StorageError
from fathom.data.corpus import decoding, encode, json_lines, token_files
from fathom.data.corpus.encode import encode_corpus, token_folder
from fathom.data.corpus.facts import seen_before
from fathom.data.corpus.reading import open_corpus
from fathom.data.corpus.splitting import split_documents
from fathom.data.corpus.survey import survey
from fathom.data.corpus.tokenizing import Tokenizer, train_tokenizer


def reason(source, **options):
    """The sentence with which reading it all ends."""
    with pytest.raises(DataError) as caught:
        list(open_corpus(source, **options).documents())
    return checked(str(caught.value))


def checked(sentence):
    assert "\n" not in sentence
    assert sentence.endswith((".", "?"))
    return sentence


def jsonl(path: Path, *lines: object) -> Path:
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(texts) + "\n")
    return path


# Paths


def test_names_that_do_not_exist(tmp_path):
    (tmp_path / "novel.txt").write_text("text")
    assert "Did you mean 'novel.txt'?" in reason(str(tmp_path / "nowel.txt"))
    assert "There is no folder" in reason(tmp_path / "none" / "a.txt")
    assert "No file matches" in reason(str(tmp_path / "*.jsonl"))
    assert "download it" in reason("https://example.org/a.txt")
    assert "is an empty path" in reason(" ")
    assert "b.txt" in reason([tmp_path / "novel.txt", tmp_path / "b.txt"])
    assert "empty list" in reason([])
    assert "int objects" in reason([1, 2])


def test_folders_without_text(tmp_path):
    assert "is an empty folder" in reason(tmp_path)
    (tmp_path / "a.bin").write_bytes(b"\0\1\2\3")
    (tmp_path / "b.txt").write_text("  \n")
    (tmp_path / "c.csv").write_text("a,b\n1,2\n")
    sentence = reason(tmp_path)
    assert "holds no text to learn from" in sentence
    for part in ("a.bin is no text", "b.txt is empty", "c.csv is a table"):
        assert part in sentence


@pytest.mark.parametrize(
    ("name", "content", "parts"),
    [
        ("a.txt", b"", ["is empty"]),
        ("a.txt", b" \n\t", ["is empty"]),
        ("a.txt", b"text\0more", ["is no text"]),
        ("a.txt", b"%PDF-1.7", ["PDF document"]),
        ("a.txt", b"\xff\xfea\x00b", ["not valid utf-16"]),
        ("a.txt", b"text\n\x81\x8d\x8f\xff\xfe\x81,2\n", ["no known text encoding"]),
        ("a.txt", np.arange(200, dtype="<i2").tobytes(), ["is no text"]),
        ("a.csv", b"text,label\nx,y\n", ["is a table", "JSON Lines", "--target"]),
        ("a.parquet", b"PAR1", ["is a table"]),
        ("a.json", b"[1]", ["is JSON", "a.jsonl"]),
        ("a.png", b"\x89PNG", ["is a picture"]),
        ("a.wav", b"RIFF", ["is a sound"]),
        ("a.pkl", b"\x80", ["is a pickle"]),
        ("a.txt.gz", b"no gzip", ["damaged"]),
        ("a.jsonl.gz", b"no gzip", ["damaged"]),
        ("a.jsonl", b"", ["is empty"]),
        ("a.jsonl", b"\0\1\2", ["is no text"]),
        ("a.jsonl", b"Once upon a time\n", ["a.jsonl holds no records", "line 1 is no JSON"]),
        ("a.jsonl", b'"text"\n', ["line 1 holds no record"]),
    ],
)
def test_files_that_are_no_text(tmp_path, name, content, parts):
    (tmp_path / name).write_bytes(content)
    sentence = reason(tmp_path / name)
    for part in (name, *parts):
        assert part in sentence


def test_neither_file_nor_folder():
    assert "neither a file nor a folder" in reason("/dev/null")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read(tmp_path):
    (tmp_path / "a.txt").write_text("text")
    (tmp_path / "a.txt").chmod(0)
    assert "may not be read by you" in reason(tmp_path / "a.txt")
    (tmp_path / "b.txt").write_text("text")
    corpus = open_corpus(tmp_path)
    assert [d.name for d in corpus.documents()] == ["b.txt"]
    assert [p.reason for p in corpus.problems] == ["may not be read by you"]


def test_json_lines_that_may_not_be_read_are_said(tmp_path, monkeypatch):
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).write_text(json.dumps({"text": "some text"}) + "\n")
    find = json_lines.find_field

    def refuse(path, asked):
        if path.name == "a.jsonl":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return find(path, asked)

    monkeypatch.setattr(json_lines, "find_field", refuse)
    assert "a.jsonl may not be read by you" in reason(tmp_path / "a.jsonl")
    corpus = open_corpus(tmp_path)
    assert [d.name for d in corpus.documents()] == ["b.jsonl, line 1"]
    assert [p.reason for p in corpus.problems] == ["may not be read by you"]


def test_a_given_test_of_which_a_part_was_learned_is_told():
    books = ["a line of text\n" * 2_000, "another line\n" * 2_000]
    found = survey(open_corpus(books), near=False)
    learned = split_documents(found).learned(found.hashes)
    test = survey(open_corpus([books[1], "unknown " * 500]), near=False)
    record = seen_before(test, learned)
    assert record.sentence.startswith("1 of 2 documents of the given test were learned from")
    assert record.grade == "poor"


def test_what_may_not_be_read_is_said(tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_text("text")
    (tmp_path / "b.txt").write_text("text")
    read = Path.read_bytes

    def refuse(path):
        if path.name == "a.txt":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert "a.txt may not be read by you" in reason(tmp_path / "a.txt")
    corpus = open_corpus(tmp_path)
    assert [d.name for d in corpus.documents()] == ["b.txt"]
    assert corpus.problems[0].where == "a.txt"


def test_names_and_links_in_folders(tmp_path):
    (tmp_path / "a.txt").write_text("text")
    (tmp_path / "gone").symlink_to(tmp_path / "nothing")
    (tmp_path / "round").symlink_to(tmp_path)
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.txt")).write_text("text")
    corpus = open_corpus(tmp_path)
    assert [d.name for d in corpus.documents()] == ["a.txt"]
    assert len(corpus.problems) == 3
    for problem in corpus.problems:
        problem.where.encode()


# JSON Lines


def test_fields_are_named_where_none_is_the_text(tmp_path):
    path = jsonl(tmp_path / "a.jsonl", {"title": "a", "body": "b", "n": 1})
    sentence = reason(path)
    assert "'title', 'body'" in sentence
    assert "--set data.text_field=title" in sentence
    assert "Did you mean 'body'?" in reason(path, text_field="bdy")
    assert "no field of text 'n'" in reason(path, text_field="n")
    assert "no field of text" in reason(jsonl(tmp_path / "b.jsonl", {"n": 1, "m": [2]}))


def test_few_bad_lines_are_skipped_and_counted(tmp_path):
    good = [{"text": f"text {i}"} for i in range(8)]
    bad = ["no json", {"other": 1}, {"text": None}, '{"text": "\\ud800"}', '{"text": "a\\u0000"}']
    corpus = open_corpus(jsonl(tmp_path / "a.jsonl", *good[:4], *bad, *good[4:]))
    assert [d.name[-1] for d in corpus.documents()] == ["1", "2", "3", "4", "0", "1", "2", "3"]
    told = {problem.where: problem.reason for problem in corpus.problems}
    assert told == {
        "a.jsonl, line 5": "is no JSON",
        "a.jsonl, line 6": "lacks the field 'text'",
        "a.jsonl, line 7": "holds no text in the field 'text'",
        "a.jsonl, line 8": "holds half of a pair of surrogates",
        "a.jsonl, line 9": "holds signs of value zero, as binary data does",
    }


def test_more_than_half_bad_lines_are_an_error(tmp_path):
    path = jsonl(tmp_path / "a.jsonl", {"text": "a"}, {"text": "b"}, "{", "no", {"other": 1})
    sentence = reason(path)
    assert "5 lines, of which 3 cannot be used, first line 3, which is no JSON" in sentence
    second = jsonl(tmp_path / "b.jsonl", {"body": "a"})
    good = jsonl(tmp_path / "good.jsonl", {"text": "a"})
    assert "lacks the field 'text'" in reason([good, second])


def test_hopeless_files_end_soon(tmp_path, monkeypatch):
    monkeypatch.setattr(json_lines, "SOON", 10)
    path = jsonl(tmp_path / "a.jsonl", {"text": "a"}, *["{"] * 500)
    assert "has 10 lines, of which 9 cannot be used" in reason(path)


def test_line_beyond_all_measure(tmp_path, monkeypatch):
    monkeypatch.setattr(json_lines, "MOST_LINE", 100)
    monkeypatch.setattr(decoding, "PIECE", 50)
    assert "line 2 is longer" in reason(jsonl(tmp_path / "a.jsonl", {"text": "a"}, "x" * 200))


def test_broken_utf8_in_a_line_is_that_lines_fault(tmp_path):
    lines = [json.dumps({"text": f"grün {i}"}, ensure_ascii=False).encode() for i in range(9)]
    lines[4] = b'{"text": "gr\xfcn"}'
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines))
    corpus = open_corpus(tmp_path / "a.jsonl")
    found = [d.text for d in corpus.documents()]
    assert found == [f"grün {i}" for i in range(9) if i != 4]
    assert corpus.problems[0].where == "a.jsonl, line 5"


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(content=st.binary(max_size=200), name=st.sampled_from(["a.txt", "a.jsonl", "a.txt.gz"]))
def test_any_bytes_are_read_or_refused(tmp_path, content, name):
    (tmp_path / name).write_bytes(content)
    try:
        documents = list(open_corpus(tmp_path / name).documents())
    except DataError as error:
        checked(str(error))
        return
    assert all("\0" not in document.text for document in documents)
    assert documents


# Too little, and what changes meanwhile


def test_too_little_text(tmp_path):
    (tmp_path / "a.txt").write_text("A short text.\n" * 100)
    corpus = open_corpus(tmp_path / "a.txt")
    with pytest.raises(DataError, match=r"a\.txt holds 1,400 bytes of text.*10,000") as caught:
        split_documents(survey(corpus))
    checked(str(caught.value))


def test_copies_alone_cannot_be_split():
    corpus = open_corpus(["a few words"] * 2_000)
    with pytest.raises(DataError, match=r"2,000 documents 1 are different") as caught:
        split_documents(survey(corpus))
    checked(str(caught.value))


def prepared(texts):
    corpus = open_corpus(texts)
    return corpus, split_documents(survey(corpus)), train_tokenizer("byte", [])


@pytest.mark.parametrize("change", ["longer", "more", "fewer"])
def test_corpus_that_changes_is_noticed(tmp_path, change):
    for i in range(30):
        (tmp_path / f"{i:02}.txt").write_text(f"text {i}\n" * 50)
    corpus, splits, tokenizer = prepared(tmp_path)
    if change == "longer":
        (tmp_path / "11.txt").write_text("another text")
    elif change == "more":
        (tmp_path / "30.txt").write_text("another text")
        corpus = open_corpus(tmp_path)
    else:
        (tmp_path / "29.txt").unlink()
        corpus = open_corpus(tmp_path)
    with pytest.raises(DataError, match="was changed while it was read"):
        encode_corpus(corpus, splits, tokenizer)


def test_files_that_vanish_are_named(tmp_path):
    for i in range(30):
        (tmp_path / f"{i:02}.txt").write_text(f"text {i}\n" * 50)
    corpus, splits, tokenizer = prepared(tmp_path)
    (tmp_path / "07.txt").unlink()
    with pytest.raises(DataError, match=r"07\.txt cannot be read: No such file"):
        encode_corpus(corpus, splits, tokenizer)


# Disks


TEXTS = [f"text {i} " * 60 for i in range(60)]


def test_full_disk_is_said_where_memory_does_not_do(monkeypatch):
    monkeypatch.setattr(encode, "WORTH_KEEPING", 1)
    monkeypatch.setenv("FATHOM_CACHE_ABOVE", "1K")

    def refuse(entry, split, tokens):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(token_files.Entry, "append", refuse)
    corpus, splits, tokenizer = prepared(TEXTS)
    with pytest.raises(StorageError, match="The disk is full") as caught:
        encode_corpus(corpus, splits, tokenizer, folder=token_folder())
    assert str(token_folder()) in str(caught.value)
    assert list(token_folder().iterdir()) == []
    monkeypatch.setenv("FATHOM_CACHE_ABOVE", "1G")
    found = encode_corpus(corpus, splits, tokenizer, folder=token_folder())
    assert found["train"].tokens.flags.owndata


def test_cache_is_bounded(monkeypatch):
    monkeypatch.setattr(encode, "WORTH_KEEPING", 1)
    monkeypatch.setenv("FATHOM_CACHE_ABOVE", "1K")
    corpus, splits, tokenizer = prepared(TEXTS)
    encode_corpus(corpus, splits, tokenizer, folder=token_folder())
    (first,) = token_folder().iterdir()
    size = sum(file.stat().st_size for file in first.iterdir())
    monkeypatch.setenv("FATHOM_CACHE_LIMIT", f"{1.5 * size / 1024:.0f}K")
    corpus, splits, tokenizer = prepared(TEXTS[::-1])
    encode_corpus(corpus, splits, tokenizer, folder=token_folder())
    (second,) = token_folder().iterdir()
    assert second != first
    monkeypatch.setenv("FATHOM_CACHE_LIMIT", "1K")
    corpus, splits, tokenizer = prepared(TEXTS[1:])
    with pytest.raises(StorageError, match=r"FATHOM_CACHE_LIMIT allows .* encoded texts"):
        encode_corpus(corpus, splits, tokenizer, folder=token_folder())


def test_folder_that_cannot_be_made(tmp_path, monkeypatch):
    monkeypatch.setattr(encode, "WORTH_KEEPING", 1)
    monkeypatch.setenv("FATHOM_CACHE_ABOVE", "1K")
    (tmp_path / "file").write_text("")
    corpus, splits, tokenizer = prepared(TEXTS)
    with pytest.raises(StorageError, match="Not a directory"):
        encode_corpus(corpus, splits, tokenizer, folder=tmp_path / "file" / "tokens")


# Tokenizers


def test_tokenizers_that_cannot_be():
    with pytest.raises(PlanError, match="257 tokens are needed"):
        train_tokenizer("bpe", ["text"], vocabulary=100)
    with pytest.raises(PlanError, match="258 tokens are needed"):
        train_tokenizer("char", ["text"], vocabulary=257)
    with pytest.raises(PlanError, match="bpe, char or byte"):
        train_tokenizer("words", ["text"])
    assert train_tokenizer("bpe", []).size == 257
    assert train_tokenizer("char", []).size == 257


def test_tokenizer_of_any_size_is_not_opened(monkeypatch):
    from fathom.data.corpus import tokenizer

    monkeypatch.setattr(tokenizer, "MOST_JSON", 100)
    with pytest.raises(ArtefactError, match="larger than"):
        Tokenizer.from_json(" " * 200)


def test_archive_that_fills_the_memory(tmp_path, monkeypatch):
    from fathom.data.formats import packed

    monkeypatch.setattr(packed, "HARMLESS_BYTES", 1_000)
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(b"x" * 10_000_000))
    assert "unpacks to more than" in reason(tmp_path / "a.txt.gz")


def test_tables_are_no_texts(tmp_path):
    frame = pd.DataFrame({"text": ["a", "b"], "label": [1, 2]})
    frame.to_csv(tmp_path / "a.csv.gz", index=False)
    assert "is a table" in reason(tmp_path / "a.csv.gz")

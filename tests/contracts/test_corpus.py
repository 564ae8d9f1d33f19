"""Corpora: every form of text is read, cut into tokens that lose nothing, and given in batches."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_sources import check_source
from tokenizers import Tokenizer as Library
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

from fathom.core.errors import ArtefactError, DataError, PlanError
from fathom.core.language import Documents
from fathom.core.progress import Silent
from fathom.data.corpus import decoding, encode, stretches, token_files
from fathom.data.corpus.encode import encode_corpus, texts_of, token_folder
from fathom.data.corpus.names import NameList
from fathom.data.corpus.pieces import pieces
from fathom.data.corpus.reading import CORPORA, open_corpus
from fathom.data.corpus.source import TokenSource
from fathom.data.corpus.splitting import split_documents
from fathom.data.corpus.survey import survey
from fathom.data.corpus.tokenizing import (
    END,
    StreamDecoder,
    Tokenizer,
    choose_vocabulary,
    train_tokenizer,
    training_texts,
)

ODD = (
    "",
    "says <|end|> and means it",
    "one\r\ntwo\n\n\tthree  \r\n ",
    "e\u0301 \U0001f469\u200d\U0001f469\u200d\U0001f467 漢字かな ▁▁ <0x41> \ufeff \U0010ffff",
    "0123456789 3.14159 " + "x" * 300 + "漢" * 300,
    "a\0b",
)
KINDS = ("bpe", "char", "byte")


def read(source, **options):
    """The documents of a source as (name, text), pieces joined."""
    found: dict[str, str] = {}
    for document in open_corpus(source, **options).documents():
        found[document.name] = found.get(document.name, "") + document.text
    return found


def story(seed: int, words: int = 120) -> str:
    generator = np.random.default_rng(seed)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    lexicon = ["".join(generator.choice(letters, n)) for n in generator.integers(2, 9, 80)]
    lines = [" ".join(generator.choice(lexicon, 8)) for _ in range(words // 8)]
    return ".\n".join(lines) + ".\n"


def lines_of(texts, field="text"):
    return "".join(json.dumps({"id": i, field: text}) + "\n" for i, text in enumerate(texts))


@pytest.fixture(scope="module")
def many():
    return [story(seed) for seed in range(60)]


# Reading


def test_texts_stay_as_they_are(tmp_path):
    text = "A line\r\nand another\n\n  with blanks \t\rand a mark\u2028 here"
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbf" + text.encode())
    (tmp_path / "b.md").write_bytes(text.encode("utf-16"))
    (tmp_path / "program.zig").write_bytes(text.encode())
    (tmp_path / "NOTES").write_bytes(text.encode())
    assert read(tmp_path) == dict.fromkeys(("NOTES", "a.txt", "b.md", "program.zig"), text)
    assert read(str(tmp_path / "NOTES")) == {"NOTES": text}
    assert read([text, "another\ntext"]) == {"document 1": text, "document 2": "another\ntext"}


def test_folder_leaves_out_what_nobody_wrote(tmp_path):
    for name in ("a.py", "deep/b.py", ".hidden", ".git/c.py", "deep/__pycache__/d.pyc"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("text\n")
    for name in ("node_modules", "site-packages"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "e.js").write_text("text\n")
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    (tmp_path / "program").write_bytes(b"\x7fELF\0\0\0\1\0")
    (tmp_path / "empty.txt").write_text(" \n")
    corpus = open_corpus(tmp_path)
    assert [d.name for d in corpus.documents()] == ["a.py", "deep/b.py"]
    left = {problem.where: problem.reason for problem in corpus.problems}
    assert set(left) == {
        *(".hidden", "node_modules", "site-packages"),
        *("table.csv", "picture.png", "program", "empty.txt"),
    }
    assert "installed packages" in left["site-packages"]
    assert "program is no text" in corpus.left_out
    assert corpus.name == tmp_path.name.lower()


def test_a_run_of_ours_is_no_text(tmp_path):
    (tmp_path / "a.txt").write_text("text\n")
    run = tmp_path / "runs" / "x"
    (run / "bundle").mkdir(parents=True)
    (run / "request.json").write_text('{"source": ".", "format_version": 1}')
    (run / "report.html").write_text("text that was tested on\n")
    (tmp_path / "service").mkdir()
    (tmp_path / "service" / "request.json").write_text('{"text": "of somebody else"}\n')
    (tmp_path / "service" / "b.txt").write_text("text\n")
    corpus = open_corpus(tmp_path)
    names = [d.name for d in corpus.documents()]
    assert "a.txt" in names
    assert "service/b.txt" in names
    assert not any(name.startswith("runs/") for name in names)
    assert ("runs/x", "is a run of Fathom's, which tells of texts") in {
        (problem.where, problem.reason) for problem in corpus.problems
    }


def test_many_alike_are_counted(tmp_path):
    for i in range(9):
        (tmp_path / f"{i}.txt").write_bytes(b"\0\1\2" if i else b"text")
    corpus = open_corpus(tmp_path)
    assert len(list(corpus.documents())) == 1
    assert [problem.where for problem in corpus.problems] == ["1.txt", "2.txt", "3.txt", "5 more"]


@pytest.mark.parametrize("pack", [None, gzip.compress, bz2.compress, lzma.compress])
def test_json_lines_packed_or_not(tmp_path, pack):
    ending = {None: "", gzip.compress: ".gz", bz2.compress: ".bz2", lzma.compress: ".xz"}[pack]
    content = lines_of(["one", "", "two\r\nlines", "三"]).encode() + b"\n"
    path = tmp_path / f"posts.jsonl{ending}"
    path.write_bytes(pack(content) if pack else content)
    corpus = open_corpus(path)
    name = path.name
    expected = {
        f"{name}, line 1": "one",
        f"{name}, line 3": "two\r\nlines",
        f"{name}, line 4": "三",
    }
    assert {d.name: d.text for d in corpus.documents()} == expected
    assert [p.where for p in corpus.problems] == [f"{name}, line 2"]
    assert corpus.text_field == "text"


@pytest.mark.parametrize(
    ("record", "asked", "field"),
    [
        ({"title": "t", "text": "x"}, None, "text"),
        ({"title": "t", "content": "x"}, None, "content"),
        ({"n": 1, "body": "x"}, None, "body"),
        ({"title": "t", "body": "x"}, "body", "body"),
    ],
)
def test_field_of_text_is_found(tmp_path, record, asked, field):
    (tmp_path / "a.ndjson").write_text(json.dumps(record) + "\n")
    corpus = open_corpus(tmp_path / "a.ndjson", text_field=asked)
    assert [d.text for d in corpus.documents()] == ["x"]
    assert corpus.text_field == field


def test_patterns_and_lists(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for i in range(3):
        Path(f"part-{i}.jsonl").write_text(lines_of([f"text {i}"]))
    Path("a").mkdir()
    Path("b").mkdir()
    Path("a/x.txt").write_text("one")
    Path("b/x.txt").write_text("two")
    assert list(read("part-*.jsonl").values()) == ["text 0", "text 1", "text 2"]
    assert read(["a/x.txt", Path("b/x.txt")]) == {"a/x.txt": "one", "b/x.txt": "two"}
    assert read([Path("b"), Path("part-1.jsonl")]) == {
        "b/x.txt": "two",
        "part-1.jsonl, line 1": "text 1",
    }
    # Strings that name no file are texts.
    assert list(read(["one text", "another"]).values()) == ["one text", "another"]


def test_encodings_are_found_and_said(tmp_path):
    text = "Der Fluß fließt über die Brücke, sagte er müde.\n" * 40
    for name, encoding in (("a.txt", "cp1252"), ("b.txt", "utf-16-le"), ("c.txt", "utf-8")):
        (tmp_path / name).write_bytes(text.encode(encoding))
    progress = Silent()
    corpus = open_corpus(tmp_path, progress=progress)
    assert [d.text for d in corpus.documents()] == [text] * 3
    assert list(corpus.documents())
    assert len(progress.sentences) == 1
    assert (
        "a.txt and 1 more files are not UTF-8; the first was read as cp1252"
        in (progress.sentences[0])
    )


def test_few_broken_bytes_do_not_garble_the_rest(tmp_path):
    lines = ["Größe und Maß\n".encode()] * 50
    lines[20] = b"Gr\xf6\xdfe\n"
    (tmp_path / "a.txt").write_bytes(b"".join(lines))
    text = read(tmp_path / "a.txt")["a.txt"]
    assert text.count("Größe") == 49
    assert text.count("�") == 2


def test_long_file_comes_in_pieces_of_one_document(tmp_path, monkeypatch):
    monkeypatch.setattr(decoding, "PIECE", 1000)
    text = story(0, 4_000) + "no end of line " * 300 + "x" * 5_000 + "\n漢字\n" * 400
    path = tmp_path / "long.txt"
    path.write_text(text)
    corpus = open_corpus(path)
    for _ in range(2):
        found = list(corpus.documents())
        assert len(found) > 10
        assert "".join(d.text for d in found) == text
        assert [d.part for d in found] == list(range(len(found)))
        assert [d.last for d in found] == [False] * (len(found) - 1) + [True]
        assert max(len(d.text) for d in found) <= 3_000
    path.write_bytes(text.encode("utf-16"))
    assert read(path) == {"long.txt": text}


@settings(max_examples=60, deadline=None)
@given(text=st.text(alphabet=" \n\rab漢", max_size=400), size=st.integers(1, 60))
def test_pieces_are_the_text(text, size):
    found = list(pieces(text, size))
    assert "".join(found) == text
    assert all(len(piece) <= size for piece in found)


def test_built_in_corpus_is_there():
    for name in CORPORA:
        document = next(open_corpus(name).documents())
        assert document.text.strip()


@settings(max_examples=60, deadline=None)
@given(names=st.lists(st.one_of(st.text(max_size=12), st.from_regex(r"[ab]{0,2}[0-9]{1,22}"))))
def test_names_are_kept(names):
    found = NameList()
    for name in names:
        found.add(name)
    assert list(found.names()) == names
    assert list(found.names()[1:]) == names[1:]


# Tokenizers


@pytest.fixture(scope="module", params=KINDS)
def tokenizer(request, many):
    return train_tokenizer(request.param, many, vocabulary=400 if request.param == "bpe" else None)


def check_lossless(tokenizer, text):
    codes = tokenizer.encode(text)
    assert codes.dtype == tokenizer.dtype
    assert tokenizer.end not in codes
    assert tokenizer.decode_bytes(codes) == text.encode()
    assert tokenizer.decode(codes) == text
    assert tokenizer.lengths[codes].sum() == len(text.encode())
    decoder = StreamDecoder(tokenizer)
    assert "".join([*map(decoder.feed, codes.tolist()), decoder.finish()]) == text


@pytest.mark.parametrize("text", ODD)
def test_odd_texts_come_back(tokenizer, text):
    check_lossless(tokenizer, text)


@settings(max_examples=150, deadline=None)
@given(text=st.text(max_size=120))
def test_any_text_comes_back(tokenizer, text):
    check_lossless(tokenizer, text)


def test_tokenizer_facts(tokenizer, many):
    assert tokenizer.kind in KINDS
    assert tokenizer.end == 0
    assert tokenizer.lengths.shape == (tokenizer.size,)
    assert tokenizer.lengths.dtype == np.int32
    assert tokenizer.lengths[0] == 0
    assert (tokenizer.lengths[1:] > 0).all()
    assert tokenizer.decode([0]) == ""
    together = tokenizer.encode_batch(many)
    assert all(np.array_equal(tokenizer.encode(t), c) for t, c in zip(many, together, strict=True))
    with pytest.raises(ValueError, match="code"):
        tokenizer.decode([tokenizer.size])
    with pytest.raises(ValueError, match="code"):
        tokenizer.decode([-1])
    with pytest.raises(UnicodeEncodeError):
        tokenizer.encode("\ud800")


def test_training_is_the_same_every_time_and_kept_by_json(tokenizer, many):
    size = tokenizer.size if tokenizer.kind == "bpe" else None
    text = tokenizer.to_json()
    assert train_tokenizer(tokenizer.kind, iter(many), vocabulary=size).to_json() == text
    again = Tokenizer.from_json(text)
    assert again.to_json() == text
    assert (again.kind, again.end, again.size) == (tokenizer.kind, 0, tokenizer.size)
    for each in (*many[:3], *ODD):
        assert np.array_equal(again.encode(each), tokenizer.encode(each))


def test_kinds_differ_as_they_should(many):
    text = "".join(many)
    sizes = {k: len(train_tokenizer(k, many, vocabulary=None).encode(text)) for k in KINDS}
    assert sizes["bpe"] < sizes["char"] / 1.5
    assert sizes["char"] == sizes["byte"] == len(text)
    bytewise = train_tokenizer("byte", [])
    assert bytewise.size == 257
    assert bytewise.encode("aé").tolist() == [1 + byte for byte in "aé".encode()]
    few = train_tokenizer("char", ["aaabbc"], vocabulary=259)
    assert few.size == 259
    assert [len(few.encode(letter)) for letter in "abcé"] == [1, 1, 1, 2]
    assert train_tokenizer("bpe", many).size <= 512


def test_end_is_never_learned_as_a_word():
    text = "<|end|>" * 2_000 + " <|end|>\n" * 2_000
    tokenizer = train_tokenizer("bpe", [text], vocabulary=300)
    check_lossless(tokenizer, text)
    assert tokenizer.decode([0]) == ""


@pytest.mark.parametrize("letter", ["a", "漢", "1", "\n", "=", "aB3$"])
def test_text_without_blanks_takes_no_longer(letter, tokenizer):
    import time

    def seconds(size):
        text = (letter * size)[:size]
        began = time.process_time()
        tokenizer.encode(text)
        return time.process_time() - began

    seconds(1_000)
    assert seconds(400_000) < 60 * max(seconds(20_000), 0.002)


def test_stream_waits_for_whole_letters():
    tokenizer = train_tokenizer("byte", [])
    decoder = StreamDecoder(tokenizer)
    assert [decoder.feed(code) for code in tokenizer.encode("é€").tolist()] == [
        *("", "é", "", "", "€"),
    ]
    decoder.feed(tokenizer.encode("é")[0])
    assert decoder.finish() == "�"


@pytest.mark.parametrize(
    ("size", "tokens"), [(1, 512), (10**6, 1024), (3 * 10**7, 4096), (10**12, 32768)]
)
def test_vocabulary_follows_the_text(size, tokens):
    chosen, why = choose_vocabulary(size)
    assert chosen == tokens
    assert f"{tokens:,} tokens" in why


def test_foreign_and_damaged_json_is_refused(tokenizer):
    text = tokenizer.to_json()
    stored = json.loads(text)
    other = {**stored, "format_version": 99}
    short = json.loads(text)
    short["tokenizer"]["model"]["vocab"].pop(tokenizer._library.id_to_token(1))
    renamed = json.loads(text)
    vocabulary = renamed["tokenizer"]["model"]["vocab"]
    vocabulary["<|start|>"] = vocabulary.pop(END)
    renamed["tokenizer"]["added_tokens"] = []
    for bad in (
        *("", "{}", "[]", "null", text[: len(text) // 2], text.replace('"kind"', '"sort"')),
        *(json.dumps(stored["tokenizer"]), json.dumps({**stored, "end": 5})),
        *(json.dumps(other), json.dumps(short), json.dumps(renamed)),
        json.dumps({**stored, "tokenizer": {"model": {}}}),
    ):
        with pytest.raises(ArtefactError):
            Tokenizer.from_json(bad)


@settings(max_examples=60, deadline=None)
@given(place=st.floats(0, 1), sign=st.characters(codec="utf-8"))
def test_damaged_json_is_refused_or_harmless(tokenizer, place, sign):
    text = tokenizer.to_json()
    i = int(place * (len(text) - 1))
    try:
        changed = Tokenizer.from_json(text[:i] + sign + text[i + 1 :])
    except ArtefactError:
        return
    changed.decode(range(changed.size))


# Tokenizers of pretrained networks


def save_gpt2(folder: Path, texts) -> Path:
    library = Library(models.BPE())
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = decoders.ByteLevel()
    library.post_processor = processors.ByteLevel(trim_offsets=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=alphabet, show_progress=False, special_tokens=["<pad>"]
    )
    library.train_from_iterator(texts, trainer)
    library.add_special_tokens(["<|endoftext|>"])
    library.enable_truncation(5)
    library.save(str(folder / "tokenizer.json"))
    config = {"eos_token": {"content": "<|endoftext|>"}}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def save_llama(folder: Path, texts) -> Path:
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    library = Library(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    library.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=special, show_progress=False)
    words = pre_tokenizers.Split(" ", behavior="merged_with_next")
    library.pre_tokenizer = words
    library.train_from_iterator((text.replace(" ", " ▁") for text in texts), trainer)
    described = json.loads(library.to_str())
    described["pre_tokenizer"] = None
    named = [t for t in described["added_tokens"] if not t["content"].startswith("<0x")]
    described["added_tokens"] = named
    described["decoder"] = {
        "type": "Sequence",
        "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
            {"type": "ByteFallback"},
            {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0},
        ],
    }
    (folder / "tokenizer.json").write_text(json.dumps(described))
    (folder / "config.json").write_text(json.dumps({"eos_token_id": [2, 1]}))
    return folder


@pytest.mark.parametrize(("save", "end"), [(save_gpt2, "<|endoftext|>"), (save_llama, "</s>")])
def test_tokenizer_of_a_pretrained_network(tmp_path, many, save, end):
    library = Library.from_file(str(save(tmp_path, many) / "tokenizer.json"))
    library.no_truncation()
    tokenizer = Tokenizer.from_huggingface(tmp_path)
    assert tokenizer.kind == "pretrained"
    assert tokenizer.end == library.token_to_id(end) != 0
    assert tokenizer.lengths[tokenizer.end] == 0
    for one in (tokenizer, Tokenizer.from_json(tokenizer.to_json())):
        for text in (*ODD, *many[:3], f"text with {end} in it"):
            codes = one.encode(text)
            # The Llama family writes a blank as ▁, and so takes one for the other.
            assert one.decode(codes) == (text.replace("▁", " ") if one.prefix else text)
            assert one.end not in codes
        assert one.encode(many[0]).tolist() == library.encode(many[0], add_special_tokens=False).ids
    decoder = StreamDecoder(tokenizer, begins=True)
    codes = tokenizer.encode(many[1]).tolist()
    assert "".join(map(decoder.feed, codes)) == many[1]


def test_long_text_gets_one_prefix_alone(tmp_path, many, monkeypatch):
    from fathom.data.corpus import tokenizer as module

    save_llama(tmp_path, many)
    tokenizer = Tokenizer.from_huggingface(tmp_path)
    whole = tokenizer.encode("".join(many))
    monkeypatch.setattr(module, "PIECE", 500)
    monkeypatch.setattr(module, "AT_ONCE", 1_000)
    assert np.array_equal(tokenizer.encode("".join(many)), whole)
    first, second = tokenizer.encode_batch([many[0], many[1]], [False, True])
    assert np.array_equal(np.concatenate([first, second]), tokenizer.encode(many[0] + many[1]))


def test_folder_without_a_fitting_tokenizer_is_refused(tmp_path, many):
    with pytest.raises(PlanError, match=r"no tokenizer\.json"):
        Tokenizer.from_huggingface(tmp_path)
    save_gpt2(tmp_path, many)
    (tmp_path / "tokenizer_config.json").unlink()
    with pytest.raises(PlanError, match="which token ends a text"):
        Tokenizer.from_huggingface(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text("{")
    with pytest.raises(PlanError, match="damaged"):
        Tokenizer.from_huggingface(tmp_path)
    words = Library(models.WordLevel({"a": 0}, unk_token="a"))
    words.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(PlanError, match="WordLevel"):
        Tokenizer.from_huggingface(tmp_path)


# Encoding


def prepared(source, kind="bpe", seed=0):
    corpus = open_corpus(source)
    splits = split_documents(survey(corpus), seed)
    tokenizer = train_tokenizer(kind, training_texts(corpus, splits), vocabulary=None)
    return corpus, splits, tokenizer


def check_documents(found, tokenizer, corpus):
    """Streams are END document END …, and hold the whole corpus once."""
    total = 0
    for documents in found.values():
        assert documents.tokens.dtype == tokenizer.dtype
        assert documents.tokens[0] == tokenizer.end
        assert documents.starts[0] == 1
        assert documents.starts[-1] == len(documents.tokens)
        assert documents.starts.dtype == documents.sizes.dtype == np.int64
        ends = np.flatnonzero(documents.tokens == tokenizer.end)
        assert np.array_equal(ends + 1, documents.starts)
        assert len(documents.names) == len(documents)
        for i in range(len(documents)):
            text = tokenizer.decode_bytes(documents.document(i))
            assert len(text) == documents.sizes[i]
            total += len(text)
    assert total == sum(len(d.text.encode()) for d in corpus.documents())


@pytest.mark.parametrize("kind", KINDS)
def test_corpus_as_tokens(many, kind):
    corpus, splits, tokenizer = prepared(many, kind)
    found = encode_corpus(corpus, splits, tokenizer)
    check_documents(found, tokenizer, corpus)
    assert {name: int(d.sizes.sum()) for name, d in found.items()} == splits.bytes
    assert {name: len(d) for name, d in found.items()} == splits.documents
    train = found["train"]
    texts = dict(zip(train.names, map(train.document, range(len(train))), strict=True))
    for i, text in enumerate(many, 1):
        if f"document {i}" in texts:
            assert tokenizer.decode(texts[f"document {i}"]) == text
    some = train.take(np.array([2, 0]))
    assert some.names == [train.names[2], train.names[0]]


def test_book_is_cut_where_it_was_split(tmp_path, many):
    book = "\n\n".join(many)
    (tmp_path / "book.txt").write_text(book)
    corpus, splits, tokenizer = prepared(tmp_path / "book.txt")
    found = encode_corpus(corpus, splits, tokenizer)
    check_documents(found, tokenizer, corpus)
    parts = [tokenizer.decode(found[name].document(0)) for name in found]
    assert "".join(parts) == book
    assert all(part.endswith("\n") for part in parts)
    assert found["train"].names[0] == "book.txt, from byte 0"
    assert f"from byte {len(parts[0]):,}" in found["validation"].names[0]
    assert texts_of(corpus, splits, "test", 10**6) == [parts[3].encode()]


def test_pieces_change_nothing(tmp_path, many, monkeypatch):
    (tmp_path / "book.txt").write_text("\n\n".join(many))
    corpus, splits, tokenizer = prepared(tmp_path / "book.txt")
    whole = encode_corpus(corpus, splits, tokenizer)
    monkeypatch.setattr(decoding, "PIECE", 3_000)
    monkeypatch.setattr(encode, "AT_ONCE", 2_000)
    again = open_corpus(tmp_path / "book.txt")
    assert len(list(again.documents())) > 5
    assert survey(again).digest == splits.digest
    cut = encode_corpus(again, splits, tokenizer)
    for name in whole:
        assert np.array_equal(whole[name].tokens, cut[name].tokens)
        assert np.array_equal(whole[name].starts, cut[name].starts)


def test_large_corpora_lie_in_files(many, monkeypatch):
    corpus, splits, tokenizer = prepared(many)
    held = encode_corpus(corpus, splits, tokenizer, folder=token_folder())
    assert not token_folder().exists()
    monkeypatch.setattr(encode, "WORTH_KEEPING", 1)
    monkeypatch.setenv("FATHOM_CACHE_ABOVE", "1K")
    stored = encode_corpus(corpus, splits, tokenizer, folder=token_folder())
    assert isinstance(stored["train"].tokens.base, np.memmap)
    assert not stored["train"].tokens.flags.writeable
    monkeypatch.setattr(encode, "_batches", None)  # nothing is encoded anew
    for found in (stored, encode_corpus(corpus, splits, tokenizer, folder=token_folder())):
        for name, documents in held.items():
            assert np.array_equal(found[name].tokens, documents.tokens)
            assert np.array_equal(found[name].starts, documents.starts)
            assert np.array_equal(found[name].sizes, documents.sizes)
            assert list(found[name].names) == list(documents.names)
    monkeypatch.setenv("FATHOM_CACHE_ABOVE", "1G")
    read = encode_corpus(corpus, splits, tokenizer, folder=token_folder())
    assert read["train"].tokens.flags.owndata


def test_damaged_entries_are_made_anew(many, monkeypatch):
    monkeypatch.setattr(encode, "WORTH_KEEPING", 1)
    corpus, splits, tokenizer = prepared(many)
    first = encode_corpus(corpus, splits, tokenizer, folder=token_folder())
    (entry,) = token_folder().iterdir()
    for name, content in (("manifest.json", b"{"), ("train.starts.bin", b"12345678")):
        (entry / name).write_bytes(content)
        assert token_files.find(entry) is None
        again = encode_corpus(corpus, splits, tokenizer, folder=token_folder())
        assert np.array_equal(first["train"].tokens, again["train"].tokens)
        assert token_files.find(entry) is not None


def test_other_text_split_or_tokenizer_is_another_entry(many, monkeypatch):
    monkeypatch.setattr(encode, "WORTH_KEEPING", 1)
    asked = ((many, "bpe", 0), (many[1:], "bpe", 0), (many, "byte", 0), (many, "bpe", 1))
    for source, kind, seed in asked:
        corpus, splits, tokenizer = prepared(source, kind, seed)
        encode_corpus(corpus, splits, tokenizer, folder=token_folder())
    assert len(list(token_folder().iterdir())) == 4


def test_given_test_corpus_is_the_test_split(many):
    corpus, test = open_corpus(many[:40]), open_corpus(many[38:])
    splits = split_documents(survey(corpus), 0, survey(test))
    tokenizer = train_tokenizer("bpe", training_texts(corpus, splits))
    found = encode_corpus(corpus, splits, tokenizer, test=test)
    assert len(found["test"]) == 22
    assert sum(len(found[name]) for name in ("train", "validation", "calibration")) == 40
    assert texts_of(corpus, splits, "test", 10**7, test=test) == [t.encode() for t in many[38:]]


def test_written_texts_of_a_split_are_bounded(many):
    corpus, splits, _ = prepared(many)
    everything = texts_of(corpus, splits, "train", 10**7)
    assert sum(map(len, everything)) == splits.bytes["train"]
    for limit in (100, 3_000, 10_000):
        some = texts_of(corpus, splits, "train", limit)
        assert 0.5 * limit < sum(map(len, some)) <= limit
        assert all(any(whole.startswith(text) for whole in everything) for text in some)
    texts = list(training_texts(corpus, splits, 10_000))
    assert sum(map(len, texts)) <= 10_000
    assert len(texts) > 5


def test_training_texts_are_training_texts_alone(many, monkeypatch):
    monkeypatch.setattr(stretches, "BLOCK", 200)
    corpus, splits, _ = prepared(many)
    train = b"\0".join(texts_of(corpus, splits, "train", 10**7)).decode()
    for most in (10**7, 20_000):
        assert all(text in train for text in training_texts(corpus, splits, most))


# Batches


def documents_of(count: int) -> Documents:
    tokens = np.arange(count, dtype=np.uint16)
    return Documents(tokens, np.array([1, count]), np.array([count - 1]), ["all"])


def source_of(count=1000, **options):
    values = {"batch_size": 4, "context": 16, "seed": 3} | options
    return TokenSource(documents_of(count), **values)


@pytest.mark.parametrize(
    "options",
    [{}, {"count": 70}, {"count": 10}, {"count": 17}, {"rank": 1, "world_size": 3}],
    ids=["plain", "less than a batch", "less than a window", "one window", "one of three"],
)
def test_token_source(options):
    check_source(lambda: source_of(**options))


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(2, 400),
    context=st.integers(1, 40),
    batch_size=st.integers(1, 9),
    seed=st.integers(0, 3),
)
def test_windows_of_an_epoch_touch_and_do_not_overlap(count, context, batch_size, seed):
    source = TokenSource(documents_of(count), batch_size=batch_size, context=context, seed=seed)
    for epoch in range(3):
        starts = np.sort(source.starts(epoch))
        assert len(starts) == source.batches_per_epoch * source.batch_size
        assert starts[0] >= 0
        assert starts[-1] + source.context < count
        assert all((b - a) % source.context == 0 and b > a for a, b in pairwise(starts))
        assert len(starts) > source.count - source.batch_size
    batch = next(source.batches())
    tokens, targets = batch.inputs["tokens"], batch.targets
    assert tokens.shape == targets.shape == (source.batch_size, source.context)
    assert tokens.dtype == targets.dtype == torch.int64
    assert torch.equal(tokens + 1, targets)
    assert torch.equal(tokens[:, 0], batch.indices)


def test_epochs_are_cut_and_ordered_anew():
    source = source_of()
    offsets = {int(source.starts(epoch).min()) % 16 for epoch in range(12)}
    assert len(offsets) > 4
    assert not np.array_equal(np.argsort(source.starts(0)), np.argsort(source.starts(1)))
    assert source.count == 61
    list(islice(source.batches(), source.batches_per_epoch))
    assert source.epoch == 1


def test_ranks_share_an_epoch():
    seen = [source_of(rank=rank, world_size=3).starts(5) for rank in range(3)]
    together = np.concatenate(seen)
    assert len(np.unique(together)) == len(together) == 60


def test_position_is_reached_at_once():
    source = source_of()
    source.load_state_dict({"position": 10**9})
    next(source.batches())
    assert source.state_dict() == {"position": 10**9 + 1}
    assert source.unit == "tokens"
    assert source.tokens_per_batch == 64


def test_too_little_is_said():
    with pytest.raises(DataError, match="no tokens"):
        source_of(1)
    with pytest.raises(DataError, match="too few for 8 processes"):
        source_of(100, world_size=8)

"""Networks of language, side by side with plainer ways to the same end.

    python benchmarks/language.py characters --data input.txt    against nanoGPT's own setting
    python benchmarks/language.py loop --data input.txt --budgets 20 170   the same, training alone
    python benchmarks/language.py writing --data input.txt       with the cache, without, in batches
    python benchmarks/language.py code                           Python's own standard library

`characters`: the last tenth of the text is the test; a plain GPT in nanoGPT's setting for a
processor (field/nanogpt_text.py) is trained first, then Fathom once for each budget; told are
seconds of training and the loss on all of the test text in nats a character. `loop` trains on all
nine tenths for so many seconds, as the peer does. `writing` times the samplers of networks of some
sizes. `code` completes the names that stand behind `import` and `def` in held-out files, beside the
n-gram model. Results are added to benchmarks/results/language.jsonl.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Callable
from math import log
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

from fathom import load
from fathom.core.budget import Budget
from fathom.core.language import Documents
from fathom.core.prediction import Array
from fathom.core.progress import Silent
from fathom.data.corpus.tokenizing import Tokenizer, train_tokenizer
from fathom.deployment.language.bundle import LanguageBundle
from fathom.evidence.intervals import paired_shares, wilson
from fathom.inference.language import LoadedLanguage
from fathom.inference.sampler import Sampler, Sampling
from fathom.networks.language import GptSpec
from fathom.planning.environment import cores, has_fast_bfloat16
from fathom.planning.language.draft import OPTIMIZERS
from fathom.planning.language.plan import plan_of
from fathom.planning.language.prepare import prepare_corpus
from fathom.planning.language.request import repeat_language_request
from fathom.planning.plan import read_plan
from fathom.training.language import LanguageFit, mean_nats
from fathom.training.settings import TrainingSpec
from fathom.training.speed import measure_speed
from field.environments import THIS, clean_environment
from field.lines import fit_with_fathom, keep, scratch

FILE = "language.jsonl"
PEER = "nanogpt"
TEST_SHARE = 0.1
BUDGETS = (40, 60, 90, 240)
TOKENS, REPEATS = 256, 5
SIZES = ((4, 128), (4, 192), (6, 384))  # depth and width of the networks that write
NAME = re.compile(r"(?m)^[ \t]*(import|def)[ \t]+([A-Za-z_]\w*)")
PLACES, NAME_TOKENS, BEFORE = 400, 12, 2_000


def parted(data: Path, folder: Path) -> tuple[Path, Path]:
    """The first nine tenths of a text and its last tenth, as files."""
    text = data.read_text()
    cut = int((1 - TEST_SHARE) * len(text))
    paths = folder / "train.txt", folder / "test.txt"
    for path, part in zip(paths, (text[:cut], text[cut:]), strict=True):
        path.write_text(part)
    return paths


def characters(data: Path, budgets: list[int]) -> None:
    """The curve of the peer, then a run of Fathom for each budget."""
    with scratch() as folder:
        train, test = parted(data, Path(folder))
        script = str(Path(__file__).parent / "field" / "nanogpt_text.py")
        done = subprocess.run(
            [sys.executable, script, str(train), str(test)],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            env=clean_environment(),
        )
        curve = [json.loads(line) for line in done.stdout.splitlines()]
        keep(FILE, THIS, what="characters", model=PEER, n=len(test.read_text()), curve=curve)
        goal, seconds = curve[-1]["nats"], curve[-1]["train_seconds"]
        for budget in budgets:
            run = fit_with_fathom(
                str(train), "--test", str(test), "--task", "language",
                "--set", "tokenizer=char", "--budget", f"{budget}s", out=folder,
            )  # fmt: skip
            told = of_run(run)
            told["reached_goal"] = told["nats"] <= goal
            told["share_of_peer_seconds"] = round(told["train_seconds"] / seconds, 3)
            keep(FILE, THIS, what="characters", model="fathom", budget=budget, **told)


def of_run(run: dict[str, Any]) -> dict[str, Any]:
    """What one run says: the loss of the network in nats a byte, seconds, what it was."""
    records = run["records"]
    bits = records["performance.bits_per_byte"]
    return {
        "nats": round(bits["value"] * log(2), 4),
        "bits_per_byte": bits["value"],
        "interval": bits["interval"],
        "kneser_ney": records["baseline.kneser_ney.bits_per_byte"]["value"],
        "xz": (records.get("baseline.xz.bits_per_byte") or {}).get("value"),
        "train_seconds": round(records["cost.train_seconds"]["value"], 1),
        "tokens_per_second": records["cost.tokens_per_second"]["value"],
        "parameters": records["cost.parameters"]["value"],
        "seconds": run["process_seconds"],
    }


def writing(data: Path) -> None:
    """Seconds to write TOKENS tokens with the cache, without it, and many texts at once."""
    for depth, width in SIZES:
        with scratch() as folder:
            run = fit_with_fathom(
                str(data), "--task", "language", "--steps", "20", "--set", "tokenizer=char",
                "--set", f"network.context={TOKENS + 8}", "--set", f"network.depth={depth}",
                "--set", f"network.width={width}", "--set", f"network.num_heads={width // 64}",
                out=folder,
            )  # fmt: skip
            model = load(run["run"]).language.network.model
        written, timed = _timed_writing(model)
        keep(
            FILE,
            THIS,
            what="writing",
            tokens=written,
            depth=depth,
            width=width,
            **{f"seconds_{name}": round(seconds, 4) for name, seconds in timed.items()},
            times_faster_than_without=round(timed["without"] / timed["cached"], 2),
            batch_times_faster_per_text=round(16 * timed["cached"] / timed["batch_of_16"], 2),
        )


def _timed_writing(model: LoadedLanguage) -> tuple[int, dict[str, float]]:
    """How many tokens are written, and how long each way takes."""
    cached, plain = Sampler(model), Sampler(model, cached=False)
    how = Sampling(max_tokens=TOKENS, temperature=1.0)
    written = len(cached.sample("\n", how).tokens)
    return written, {
        "cached": _median_seconds(lambda: cached.sample("\n", how)),
        "without": _median_seconds(lambda: plain.sample("\n", how)),
        "batch_of_16": _median_seconds(lambda: cached.sample_several(["\n"] * 16, how)),
    }


def loop(data: Path, budgets: list[int]) -> None:
    """Training alone for so many seconds, on all of the training text, as the peer trains on it.

    Nothing is held out for validation and calibration, and nothing chosen: the network and the
    optimizer are those that `fathom fit` takes for this text in half a minute.
    """
    with scratch() as folder:
        train, test = (path.read_text() for path in parted(data, Path(folder)))
        tokenizer = train_tokenizer("char", [train])
        for seconds in budgets:
            what = _fit_of(_documents(train, tokenizer), tokenizer.size, steps=1)
            step = measure_speed(what, seconds=3.0).median
            what = _fit_of(_documents(train, tokenizer), tokenizer.size, int(seconds / step))
            network, result = what.fit(Path(folder) / f"loop-{seconds}")
            nats = mean_nats(network, _documents(test, tokenizer), what.training, "cpu")
            keep(
                FILE,
                THIS,
                what="characters",
                model="fathom, training alone",
                nats=round(nats, 4),
                train_seconds=round(result.seconds, 1),
                steps=result.steps,
                depth=what.network.depth,
                width=what.network.width,
            )


def _documents(text: str, tokenizer: Tokenizer) -> Documents:
    codes = tokenizer.encode(text)
    end = np.zeros(1, dtype=codes.dtype)
    stream = np.concatenate([end, codes, end])
    size = len(text.encode())
    return Documents(stream, np.array([1, len(stream)]), np.array([size]), ["text"])


def _fit_of(train: Documents, vocabulary: int, steps: int) -> LanguageFit:
    nothing = Documents(np.zeros(1, np.uint16), np.array([1]), np.empty(0, np.int64), [])
    return LanguageFit(
        train=train,
        validation=nothing,
        vocabulary=vocabulary,
        network=GptSpec(depth=4, width=128, num_heads=2, context=128),
        training=TrainingSpec(
            steps=steps,
            batch_size=16,
            optimizer=OPTIMIZERS["muon"],
            warmup_steps=steps // 20,
            schedule="linear",
            precision="bfloat16" if has_fast_bfloat16("cpu") else "float32",
            threads=cores(),
            save_every=steps + 1,
            log_every=max(1, steps // 50),
        ),
        seed=0,
    )


def _median_seconds(write: Callable[[], Any]) -> float:
    write()
    taken = []
    for _ in range(REPEATS):
        started = perf_counter()
        write()
        taken.append(perf_counter() - started)
    return median(taken)


def code(budget: str) -> None:
    """Bits per byte on held-out files, and exact completions of the names in them."""
    with scratch() as folder:
        run = fit_with_fathom(
            "python-library", "--task", "language", "--budget", budget, out=folder
        )
        keep(FILE, THIS, what="code", budget=budget, **of_run(run), verdict=run["verdict"])
        bundle, texts = load(run["run"]).language, _held_out(Path(run["run"]))
        for word in ("import", "def"):
            keep(FILE, THIS, what="code names", behind=word, **_completed(bundle, texts, word))


def _held_out(folder: Path) -> list[str]:
    """The test documents of a run, parted as its plan says."""
    plan = plan_of(read_plan(folder / "plan.yaml"), folder / "plan.yaml")
    request = repeat_language_request(plan, "cpu")
    prepared = prepare_corpus(request, None, Budget(600.0), Silent())
    test = prepared.splits["test"]
    return [prepared.tokenizer.decode(test.document(i)[:-1]) for i in range(len(test))]


def _completed(bundle: LanguageBundle, texts: list[str], word: str) -> dict[str, Any]:
    """How often each model writes the very name that stands behind a word in held-out files."""
    prompts, names = _places(texts, word)
    tokenizer = bundle.network.model.tokenizer
    begun = [np.concatenate([[tokenizer.end], tokenizer.encode(p)]) for p in prompts]
    right = {}
    for model in (bundle.network, bundle.baseline):
        said = _greedy(model.next_log_probs, begun, tokenizer.end)
        found = [_first_name(tokenizer.decode(tokens)) for tokens in said]
        right[model.name] = np.array([a == b for a, b in zip(found, names, strict=True)])
    network, ngrams = right["network"], right["kneser_ney"]
    gain = paired_shares(network, ngrams)
    return {
        "n": len(names),
        "network": float(network.mean()),
        "network_interval": wilson(int(network.sum()), len(names)).interval,
        "kneser_ney": float(ngrams.mean()),
        "gain": gain.value,
        "gain_interval": gain.interval,
    }


def _places(texts: list[str], word: str) -> tuple[list[str], list[str]]:
    """Text up to and behind the word, and the name that follows, at places drawn at random."""
    found = [
        (text[max(0, match.start(2) - BEFORE) : match.start(2)], match[2])
        for text in texts
        for match in NAME.finditer(text)
        if match[1] == word
    ]
    chosen = np.random.default_rng(0).permutation(len(found))[:PLACES]
    # The blank before a name belongs to the name in most vocabularies of byte pairs.
    return [found[i][0].rstrip(" ") for i in chosen], [found[i][1] for i in chosen]


def _greedy(next_log_probs: Callable[[list[Array]], Array], begun: list[Array], end: int) -> list:
    texts = [list(tokens) for tokens in begun]
    for _ in range(NAME_TOKENS):
        said = next_log_probs([np.array(text) for text in texts]).argmax(axis=1)
        for text, token in zip(texts, said, strict=True):
            text.append(int(token))
    written = [text[len(tokens) :] for text, tokens in zip(texts, begun, strict=True)]
    return [tokens[: tokens.index(end)] if end in tokens else tokens for tokens in written]


def _first_name(text: str) -> str:
    found = re.match(r"\s*([A-Za-z_]\w*)", text)
    return found[1] if found else ""


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["characters", "loop", "writing", "code"])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--budgets", type=int, nargs="+", default=list(BUDGETS))
    parser.add_argument("--budget", default="10m", help="of code")
    given = parser.parse_args()
    if given.what == "code":
        code(given.budget)
    elif given.what == "writing":
        writing(given.data)
    elif given.what == "loop":
        loop(given.data, given.budgets)
    else:
        characters(given.data, given.budgets)


if __name__ == "__main__":
    main()

"""How does it compute? One real example followed through the network, and one step of learning.

All numbers are those of the trained network, in float32, on a copy of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fathom.core.batch import Batch
from fathom.core.blocks import TextBlock
from fathom.core.budget import Budget
from fathom.core.examples import Examples
from fathom.core.mel import HOP_SECONDS, WINDOW_SECONDS
from fathom.core.prediction import ClassPrediction, LabelsPrediction, NumberPrediction, Prediction
from fathom.core.record import Figure, Record, not_applicable
from fathom.core.schema import TextStatistics
from fathom.data.texts import token_texts
from fathom.evidence import wording
from fathom.evidence.drawing import picture_of, row_of, spectrogram
from fathom.evidence.instruments import Call, batch_of, copied_network, loss_of, traced
from fathom.evidence.measure import evidence
from fathom.evidence.reading import Reading, covered, reading_of
from fathom.evidence.subject import NETWORK, Subject
from fathom.evidence.units import WEIGHTED, Unit, pick_unit, term_names, values_after
from fathom.networks.fronts import TextFront

CANDIDATES = 200
CLASSES = 5
USUAL_RATE = 0.01  # where the log tells no learning rate
HALVINGS = 40
TOKENS, NUMBERS = 8, 3  # of a text that are shown, and of each one's vector

Step = dict[str, Any]


def _seconds(subject: Subject) -> float:
    share = CANDIDATES / max(len(subject.splits["validation"]), 1)
    return 0.5 + 5 * subject.prediction_seconds(NETWORK, "validation") * min(share, 1.0)


@evidence("walkthrough", "anatomy", ("anatomy.walkthrough",), _seconds, weight=0.5)
def measure(subject: Subject, budget: Budget) -> list[Record]:
    """`anatomy.walkthrough`: input, a unit's sum and activation, answer, loss, gradient, step."""
    network = copied_network(subject)
    example = choose(subject)
    batch = batch_of(subject, example)
    with traced(network) as calls:
        loss = loss_of(subject, network, batch)
    first = next((call for call in calls if isinstance(call.module, WEIGHTED)), None)
    if first is None:
        reason = "The network has no linear, convolutional or recurrent layer to walk through."
        return [not_applicable("anatomy.walkthrough", "anatomy", reason)]
    first.output.retain_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    unit = pick_unit(first)
    reading = reading_of(subject, network, calls, first)
    names = term_names(subject, network, example, first, unit, reading=reading)
    learned = one_step(subject, network, batch, float(loss.detach()))
    outputs = calls[-1].output.detach()
    prediction = subject.task.predict(outputs)
    truth = _truth(prediction, example)
    steps = [
        _input(subject, example, truth),
        *_tokens(subject, network, example),
        *_energies(reading),
        _sum(unit, names, reading, _where(subject, example, unit, first, reading)),
        _activation(unit, first, calls),
        _answer(subject, outputs, prediction, truth),
        _loss(subject, outputs, prediction, example, float(loss.detach())),
        _gradient(unit, names, reading),
        _update(unit, learned),
    ]
    return [
        Record(
            "anatomy.walkthrough",
            "anatomy",
            sentence=(
                "One real example is followed through the network: what one unit computes of it, "
                f"what the network answers, and how one step of learning would lower its loss from "
                f"{wording.number(learned.before)} to {wording.number(learned.after)}."
            ),
            value=learned.after - learned.before,
            unit="loss",
            n=1,
            split="validation",
            method="computed on a copy of the network in float32, in evaluation mode",
            figure=Figure("walkthrough", {"steps": steps}),
        )
    ]


def choose(subject: Subject) -> Examples:
    """An example that is answered rightly but not with certainty, so that there is more to learn.

    For a number, the one whose error is the median.
    """
    some = subject.examples("validation").sample(CANDIDATES, subject.generator("walkthrough"))
    assert some.targets is not None
    prediction = subject.network.predict(some)
    right, certainty = prediction.right(some.targets), prediction.certainty
    if right is None or certainty is None:
        position = int(np.argsort(-prediction.merit(some.targets))[len(some) // 2])
    else:
        position = int(np.argmin(np.where(right, certainty, 2.0)))
    return some.take(np.array([position]))


@dataclass(frozen=True)
class Learned:
    """A plain step down the gradient: at which rate, how often halved, and the loss around it."""

    rate: float
    halvings: int
    before: float
    after: float


def one_step(subject: Subject, network: Any, batch: Batch, before: float) -> Learned:
    """Move every parameter down its gradient, at half the rate until the loss falls.

    The gradients must have been computed. The weights are left as they were found.
    """
    rates = [line["learning_rate"] for line in subject.log if line.get("learning_rate")]
    rate = max(rates, default=USUAL_RATE)
    moved = [(p, p.detach().clone(), p.grad) for p in network.parameters() if p.grad is not None]
    after, halvings = before, 0
    with torch.no_grad():
        for halvings in range(HALVINGS):
            for parameter, old, gradient in moved:
                parameter.copy_(old - rate * 0.5**halvings * gradient)
            after = float(loss_of(subject, network, batch))
            if after < before:
                break
        for parameter, old, _ in moved:
            parameter.copy_(old)
    return Learned(rate * 0.5**halvings, halvings, before, after)


def _exact(value: float) -> str:
    """Five figures, so that whoever multiplies what is shown gets what is shown."""
    return wording.number(value, figures=5)


def _step(
    title: str,
    sentence: str,
    *,
    columns: list[str] | None = None,
    rows: list[list[str]] | None = None,
    formula: str | None = None,
    image: str | None = None,
) -> Step:
    table = {"columns": columns, "rows": rows} if rows else None
    data = {"title": title, "sentence": sentence, "table": table}
    return {**data, "formula": formula, "image": image}


def _truth(prediction: Prediction, example: Examples) -> str:
    assert example.targets is not None
    truth = prediction.truth(example.targets[0])
    return truth if isinstance(truth, str) else _exact(truth)


def _input(subject: Subject, example: Examples, truth: str) -> Step:
    row = row_of(subject, example, 0)
    return _step(
        "The input",
        f"This is {subject.locate(int(example.rows[0]))}. The right answer is "
        f"{truth}. To the network it is nothing but numbers.",
        columns=["column", "value"],
        rows=[[name, value] for name, value in row.items()] if row else None,
        image=picture_of(subject, example, 0),
    )


def _tokens(subject: Subject, network: Any, example: Examples) -> list[Step]:
    """How a text becomes numbers: the first tokens with their codes and vectors."""
    names, table = _token_names(subject, example), _token_table(network)
    if not names or table is None:
        return []
    block = next(iter(subject.model.inputs.sequences))
    codes = np.asarray(example.inputs[block])[0]
    vectors = table.weight.detach()[torch.as_tensor(codes[:TOKENS]).long()].cpu().numpy()
    rows = [
        [names[i], str(int(codes[i])), ", ".join(_exact(v) for v in vector[:NUMBERS]) + ", …"]
        for i, vector in enumerate(vectors)
    ]
    return [
        _step(
            "The text becomes numbers",
            f"It is cut into {wording.plural(len(codes), 'token')}. Each kind of token has a "
            f"vector of {vectors.shape[1]:,} learned numbers of its own.",
            columns=["token", "code", "its vector begins"],
            rows=rows,
        )
    ]


def _token_table(network: Any) -> nn.Embedding | None:
    fronts = [module for module in network.modules() if isinstance(module, TextFront)]
    return fronts[0].embedding if fronts else None


def _token_names(subject: Subject, example: Examples) -> list[str]:
    """The tokens of the only text that the network reads; empty where there is none, or several."""
    sequences = subject.model.inputs.sequences
    if len(sequences) != 1:
        return []
    (name, block), *_ = sequences.items()
    field = next(f for f in subject.schema.inputs if f.name == name)
    if not isinstance(block, TextBlock) or not isinstance(field.statistics, TextStatistics):
        return []
    return token_texts(field.statistics, np.asarray(example.inputs[name])[0])


def _energies(reading: Reading) -> list[Step]:
    """How sound becomes numbers: its energies in bands of pitch, moment after moment."""
    if reading.energies is None:
        return []
    frames, bands = reading.energies.shape
    return [
        _step(
            "The sound becomes bands and moments",
            f"It is cut into {wording.plural(frames, 'window')} of {1000 * WINDOW_SECONDS:.0f} ms, "
            f"one every {1000 * HOP_SECONDS:.0f} ms: its moments. Of each the energy in {bands} "
            "bands of pitch is taken, as a logarithm (log-mel energies; time goes to the right, "
            "pitch upwards, dark is loud). Standardised band by band, these "
            f"{frames * bands:,} numbers are what the first layer sees.",
            image=spectrogram(reading.energies.cpu().numpy()),
        )
    ]


def _where(subject: Subject, example: Examples, unit: Unit, first: Call, reading: Reading) -> str:
    """Where a filter lies or a unit stands, as part of a sentence; empty where it sees all."""
    if unit.place is None:
        return ""
    names, length = _token_names(subject, example), 1
    layer: Any = first.module
    if not names and unit.kind == "filter":
        return f", laid over {covered(reading, layer, unit.place)},"
    if not names:
        return f", at step {max(0, unit.place[0]) + 1},"
    begin = max(0, unit.place[0])
    if unit.kind == "filter":
        length = (layer.kernel_size[0] - 1) * layer.dilation[0] + 1 + min(0, unit.place[0])
    shown = "".join(names[begin : begin + length]).strip()
    places = f"the {'token' if length == 1 else 'tokens'} “{shown}”"
    return f", laid over {places}," if unit.kind == "filter" else f", at {places},"


def _sum(unit: Unit, names: dict[int, str], reading: Reading, where: str) -> Step:
    terms = unit.terms
    rows = [
        [names[k], *(_exact(v) for v in (unit.values[k], unit.weights[k], terms[k]))] for k in names
    ]
    rest = float(terms.sum() - sum(terms[k] for k in names))
    others = len(terms) - len(names)
    if others:
        rows.append([f"{others:,} others together", "", "", _exact(rest)])
    rows.append(["bias", "", "", _exact(unit.bias)])
    rows.append(["sum", "", "", _exact(unit.total)])
    what = f" for its {unit.gate}" if unit.gate else ""
    return _step(
        f"A {unit.kind} of the first layer adds up",
        f"The first layer that weighs its inputs ({reading.layer}) has {unit.width:,} "
        f"{unit.kind}s. {unit.kind.capitalize()} {unit.index + 1}{where} multiplies each input by "
        f"a weight that it has learned and adds it all up{what}.",
        columns=["input", "value", "weight", "value x weight"],
        rows=rows,
        formula="sum = x1 w1 + x2 w2 + ... + bias",
    )


def _activation(unit: Unit, first: Call, calls: list[Call]) -> Step:
    after = values_after(first, calls, unit)
    rows = [["sum", _exact(unit.total)]]
    rows += [[name, _exact(value)] for name, value in after]
    text = "Here the sum goes on as it is."
    if after:
        text = (
            "A sum alone could only draw straight lines. What follows it bends it, and only so can "
            "many layers say more than one."
        )
    if unit.gate:
        text += (
            " Each gate is a sum of its own, brought between 0 and 1; with them the cell decides "
            "what to take, to keep and to say."
        )
    return _step("An activation bends the sum", text, columns=["after", "value"], rows=rows)


def _answer(subject: Subject, outputs: Tensor, prediction: Prediction, truth: str) -> Step:
    stages: Any = subject.model.network
    count = wording.plural(len(stages.stages()), "stage")
    if isinstance(prediction, NumberPrediction):
        spec = subject.task.output
        value = _exact(float(prediction.values[0]))
        return _step(
            "The answer",
            f"After all {count} one number is left. Brought back to the units of "
            f"{subject.schema.target.name} it is {value}; the truth is {truth}.",
            formula=f"{_exact(float(outputs[0, 0]))} x {_exact(spec.scale)} + "
            f"{_exact(spec.center)} = {value}",
        )
    assert isinstance(prediction, ClassPrediction | LabelsPrediction)
    logits, probs = outputs[0].double().cpu().numpy(), prediction.probs[0]
    rows = [
        [prediction.labels[k], _exact(logits[k]), wording.percent(float(probs[k]))]
        for k in np.argsort(-probs)[:CLASSES]
    ]
    if isinstance(prediction, LabelsPrediction):
        return _step(
            "The answer",
            f"After all {count} each label has a number, its logit. The logistic function makes "
            "each of them a probability by itself, because any number of labels may hold (before "
            "calibration). A label is said from 50 % on.",
            columns=["label", "logit", "probability"],
            rows=rows,
            formula="p = 1 / (1 + exp(-logit))",
        )
    return _step(
        "The answer",
        f"After all {count} each class has a number, its logit. The exponential makes them "
        "positive, and dividing by their sum makes them probabilities (before calibration).",
        columns=["class", "logit", "probability"],
        rows=rows,
        formula="p = exp(logit) / sum of exp(logits)",
    )


def _loss(
    subject: Subject, outputs: Tensor, prediction: Prediction, example: Examples, loss: float
) -> Step:
    assert example.targets is not None
    written = _exact(loss)
    if isinstance(prediction, LabelsPrediction):
        return _label_loss(prediction, example, loss)
    if not isinstance(prediction, ClassPrediction):
        target = float(subject.task.encode_targets(example.targets)[0])
        said = float(outputs[0, 0])
        return _step(
            "The loss",
            f"How wrong is that? The squared distance from the truth, in the network's own units: "
            f"{written}.",
            formula=f"({_exact(said)} - {_exact(target)})² = {written}",
        )
    right = float(prediction.probs[0, int(example.targets[0])])
    formula = f"-ln({_exact(right)}) = {written}"
    if abs(-np.log(right) - loss) > 1e-3 * max(1.0, loss):
        formula = f"-ln({_exact(right)}), smoothed over the classes = {written}"
    return _step(
        "The loss",
        f"How wrong is that? The truth was given {wording.percent(right)}; minus the logarithm of "
        f"it is the loss, {written}. It would be 0 for 100 %.",
        formula=formula,
    )


def _label_loss(prediction: LabelsPrediction, example: Examples, loss: float) -> Step:
    """The mean over the labels; a row for each of the largest parts of it."""
    assert example.targets is not None
    truth, probs = example.targets[0], prediction.probs[0]
    given = np.where(truth > 0, probs, 1.0 - probs)
    rows = [
        [
            prediction.labels[k],
            "holds" if truth[k] else "does not hold",
            wording.percent(float(given[k])),
            _exact(float(-np.log(given[k]))),
        ]
        for k in np.argsort(given)[:CLASSES]
    ]
    return _step(
        "The loss",
        f"How wrong is that? For each label the truth, that it holds or does not, was given some "
        f"probability. Minus the logarithm of it, averaged over {len(given):,} labels, is the "
        f"loss, {_exact(loss)}. It would be 0 for 100 % everywhere.",
        columns=["label", "truth", "given", "minus its logarithm"],
        rows=rows,
        formula=f"mean of -ln(given) = {_exact(loss)}",
    )


def _gradient(unit: Unit, names: dict[int, str], reading: Reading) -> Step:
    name, k = next(iter(names.values())), next(iter(names))
    gradient = _exact(unit.gradient)
    text = (
        "Going backwards through the layers, the chain rule tells how the loss changes with every "
        "number on the way. "
    )
    if unit.slope is not None:
        text += f"With this {unit.kind}'s sum it changes by {_exact(unit.slope)}; "
    if unit.uses == 1 and unit.slope is not None:
        text += f"with its weight for {name} therefore by that times the input."
        formula = f"{_exact(unit.slope)} x {_exact(unit.values[k])} = {gradient}"
    else:
        flat = unit.place is not None and len(unit.place) == 2
        heard = reading.energies is not None
        every = "place of bands and moments" if heard else "place of the picture"
        used = f"is used at every {every if flat else reading.place}, and all of them"
        its = "its" if unit.slope is not None else "Its"
        text += f"{its} weight for {name} {used} together make {gradient}."
        places = wording.plural(unit.uses, "place" if flat else reading.place)
        formula = f"sum over {places} = {gradient}"
    return _step("Backpropagation", text, formula=formula)


def _update(unit: Unit, learned: Learned) -> Step:
    old, gradient, rate = unit.weight, unit.gradient, learned.rate
    halved = ""
    if learned.halvings:
        times = wording.plural(learned.halvings, "time")
        halved = f" (the training's highest, halved {times} so that this one example gains)"
    return _step(
        "One step of learning",
        f"Every weight moves a little against its gradient, by the learning rate{halved}. Then the "
        f"loss of this example is {_exact(learned.after)} in place of "
        f"{_exact(learned.before)}. Training repeats this on many examples at once, with "
        "an optimizer that chooses the size of each weight's step.",
        columns=["", "value"],
        rows=[
            ["old weight", f"{old:.6g}"],
            ["gradient", f"{gradient:.6g}"],
            ["learning rate", f"{rate:.6g}"],
            ["new weight", f"{old - rate * gradient:.6g}"],
            ["loss before", f"{learned.before:.6g}"],
            ["loss after", f"{learned.after:.6g}"],
        ],
        formula="new weight = old weight - learning rate x gradient",
    )

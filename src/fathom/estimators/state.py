"""A fitted network as bytes, for pickling an estimator: safetensors and JSON, verified when read.

The bytes are data, never code; what is read back is checked as a bundle's files are.
"""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import msgspec
import safetensors.torch
from msgspec import Struct
from safetensors import SafetensorError

from fathom.core.errors import ArtefactError, UserError
from fathom.core.files import to_json
from fathom.core.schema import Schema
from fathom.data.encode import input_spec, output_spec
from fathom.deployment.verify import check_answer, check_schema, restore_network
from fathom.inference import LoadedModel, NetworkPredictor, Precision, Trust
from fathom.networks import NetworkSpec
from fathom.tasks import build_task

STATE_FORMAT = 1
PICKLE = Path("the pickled estimator")
"""What stands in errors where a bundle's would name a file."""


class NetworkState(Struct, frozen=True, forbid_unknown_fields=True):
    """The JSON half: all that it takes to use the weights, and their SHA-256."""

    schema: Schema
    network: NetworkSpec
    trust: Trust
    precision: Precision
    sha256: str
    format_version: int = STATE_FORMAT


def pack(model: LoadedModel) -> dict[str, bytes]:
    """The bytes of a model: `model.json` and `model.safetensors`."""
    tensors = {
        name: tensor.detach().cpu().contiguous().clone()
        for name, tensor in model.network.state_dict().items()
    }
    weights = bytes(safetensors.torch.save(tensors))
    state = NetworkState(
        schema=model.schema,
        network=model.network_spec,
        trust=model.trust,
        precision=model.precision,
        sha256=hashlib.sha256(weights).hexdigest(),
    )
    return {"model.json": to_json(state), "model.safetensors": weights}


def unpack(content: dict[str, bytes], device: str) -> LoadedModel:
    """The model of `pack`, on `device`. Raises ArtefactError where the bytes are not its own."""
    state = _state(content.get("model.json", b""))
    weights = content.get("model.safetensors", b"")
    if hashlib.sha256(weights).hexdigest() != state.sha256:
        raise ArtefactError(f"The weights in {PICKLE} are damaged: their SHA-256 differs.")
    check_schema(state.schema, PICKLE)
    if not 0 < state.trust.temperature < math.inf:
        raise ArtefactError(f"The temperature in {PICKLE} is not above 0.")
    try:
        tensors = safetensors.torch.load(weights)
    except SafetensorError as error:
        raise ArtefactError(f"The weights in {PICKLE} cannot be read: {error}.") from None
    model = LoadedModel(
        schema=state.schema,
        inputs=input_spec(state.schema),
        network=restore_network(state.network, state.schema, tensors, PICKLE).to(device),
        network_spec=state.network,
        task=build_task(state.schema.task, output_spec(state.schema)),
        trust=state.trust,
        precision=state.precision,
        device=device,
    )
    check_answer(NetworkPredictor(model), state.schema, PICKLE)
    return model


def _state(content: bytes) -> NetworkState:
    try:
        state = msgspec.json.decode(content, type=NetworkState)
    except (msgspec.DecodeError, UserError) as error:
        raise ArtefactError(f"{PICKLE} is damaged or of another version: {error}.") from None
    if state.format_version != STATE_FORMAT:
        raise ArtefactError(
            f"{PICKLE} has the format {state.format_version}; this Fathom reads {STATE_FORMAT}."
        )
    return state

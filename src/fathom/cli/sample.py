"""`fathom sample`: let a network of language write on."""

from __future__ import annotations

import sys

import click

from fathom.cli.options import device_option


@click.command(short_help="Let a network that has learned a corpus write on from a prompt.")
@click.argument("run")
@click.argument("prompts", nargs=-1, metavar="[PROMPT]...")
@click.option("--max-tokens", default=200, show_default=True, help="Tokens to write at most.")
@click.option(
    "--temperature",
    default=0.8,
    show_default=True,
    help="0 takes the likeliest token, 1 draws as the network says, above 1 is wilder.",
)
@click.option("--top-k", default=0, show_default=True, help="Draw from so many tokens; 0: all.")
@click.option(
    "--top-p",
    default=1.0,
    show_default=True,
    help="Draw from the likeliest tokens that hold this much probability.",
)
@click.option("--seed", default=0, show_default=True, help="The same seed writes the same text.")
@click.option(
    "--stream/--no-stream", default=None, help="Print while writing.  [default: at a terminal]"
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON line for each prompt.")
@device_option
def sample(  # noqa: PLR0917, an argument for each option
    run: str,
    prompts: tuple[str, ...],
    max_tokens: int,
    temperature: float,
    top_k: int,
    top_p: float,
    seed: int,
    stream: bool | None,
    as_json: bool,
    device: str,
) -> None:
    """Write on from PROMPT with RUN, a run on a corpus (`fathom fit CORPUS --task language`).

    Without a PROMPT a text is begun. Several are written side by side. What comes out is what such
    texts look like, not what is true.

    \b
    Examples:
      fathom sample runs/shakespeare "ROMEO:"
      fathom sample runs/shakespeare --temperature 0.5 --max-tokens 500
      fathom sample runs/code "def read_" "import " --temperature 0 --max-tokens 20 --json
      echo "Once upon a time" | fathom sample runs/tales -
    """
    from fathom.deployment.language.bundle import find_language_bundle, load_language_bundle
    from fathom.inference.sampler import Sampling
    from fathom.planning.device import choose_device

    how = Sampling(
        max_tokens=max_tokens, temperature=temperature, top_k=top_k, top_p=top_p, seed=seed
    )
    begun = [_typed() if prompt == "-" else prompt for prompt in prompts or ("",)]
    bundle = load_language_bundle(find_language_bundle(run), device=choose_device(device))
    live = stream if stream is not None else sys.stdout.isatty()
    if live and len(begun) == 1 and not as_json:
        bundle.sampler.begun(begun[0])  # a prompt that is no text is refused before it is shown
        click.echo(begun[0], nl=False)
        for piece in bundle.sampler.stream(begun[0], how):
            click.echo(piece, nl=False)
        click.echo()
        return
    from fathom.cli.written import as_line, as_text

    written = bundle.sampler.sample_several(begun, how)
    for place, each in enumerate(written):
        click.echo(as_line(each) if as_json else as_text(each, place, len(written)))


def _typed() -> str:
    """All of standard input as text; what is no UTF-8 becomes a sign for that."""
    return sys.stdin.buffer.read().decode("utf-8", "replace").removesuffix("\n")

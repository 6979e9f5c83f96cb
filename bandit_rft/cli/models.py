"""`bandit-rft models`: what can be loaded by name, and fetching it beforehand."""

from __future__ import annotations

import argparse

HELP = "list the models known by name, or fetch one"
DESCRIPTION = "Models known by name. A model may also be a local folder, a .gguf file or a Hugging Face hub id."


def options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    listing = actions.add_parser(
        "list", help="name, size, licence and source of each", description="List the models known by name."
    )
    listing.set_defaults(name=None)
    fetching = actions.add_parser(
        "fetch", help="fetch a model now", description="Fetch and convert a model, so that later runs need no network."
    )
    fetching.add_argument("name", metavar="NAME", help="a listed name, a .gguf file or a hub id")


def run(arguments: argparse.Namespace) -> int:
    """List the models, or fetch the one that is named."""
    from llm_bridge.models import hub
    from llm_bridge.models.families import FAMILIES, TEXT_PARTS

    if arguments.name is not None:
        print(hub.resolve(arguments.name))
        return 0
    models = hub.catalogue()
    width = max((len(model.name) for model in models), default=0)
    for model in models:
        state = "ready" if model.cached else f"to fetch, {model.download / 1e6:.0f} MB"
        print(f"{model.name:<{width}}  {model.size / 1e6:6.0f} MB  {model.licence}  {model.source} ({state})")
    print(f"others: a folder, a .gguf file or a hub id of model_type {', '.join((*FAMILIES, *TEXT_PARTS))}")
    print(f"cache: {hub.cache_folder()}")
    return 0

"""`bandit-rft models`: what can be loaded by name, and fetching it beforehand."""

from __future__ import annotations

import argparse


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = subparsers.add_parser(
        "models",
        help="list the models known by name, or fetch one",
        description="Models known by name. A model may also be a local folder, a .gguf file or a Hugging Face hub id.",
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    listing = actions.add_parser(
        "list", help="name, size, licence and source of each", description="List the models known by name."
    )
    listing.set_defaults(run=_list)
    fetching = actions.add_parser(
        "fetch", help="fetch a model now", description="Fetch and convert a model, so that later runs need no network."
    )
    fetching.add_argument("name", metavar="NAME", help="a listed name, a .gguf file or a hub id")
    fetching.set_defaults(run=_fetch)


def _list(arguments: argparse.Namespace) -> int:
    from llm_bridge.models import hub

    del arguments
    models = hub.catalogue()
    width = max((len(model.name) for model in models), default=0)
    for model in models:
        state = "ready" if model.cached else f"to fetch, {model.download / 1e6:.0f} MB"
        print(f"{model.name:<{width}}  {model.size / 1e6:6.0f} MB  {model.licence}  {model.source} ({state})")
    print(f"cache: {hub.cache_folder()}")
    return 0


def _fetch(arguments: argparse.Namespace) -> int:
    from llm_bridge.models import hub

    print(hub.resolve(arguments.name))
    return 0

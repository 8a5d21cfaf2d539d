"""Names for the parts of a graph: each node is called after the module that it computes, `blocks.2.up/MatMul`.

What stays in a higher precision, and what is to blame where two forms of a model differ, is said in these names.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Mapping
from typing import Any

SCOPES = "pkg.torch.onnx.name_scopes"
"""What torch's exporter notes at each node: the modules around it from the outside in, and last the operation."""
BEFORE, BETWEEN, AFTER = "input", "tokens", "output"
"""Layers of nodes that the encoder itself computes: before its first module, between those of its body, and behind the body."""
BODY = ("stems", "plain_stem", "stem_norm", "patches", "positions", "blocks", "convolutions", "input_norm", "gru")
"""What modules are called behind which nothing but pooling, projection and unit length follow."""


def name_nodes(graph: Any) -> None:
    """Call each node after its layer and operation, with a number where that repeats; the exporter's notes must still be there."""
    modules = [_module(node) for node in graph.node]
    readers = _readers(graph)
    entered: list[bool] = []
    """Whether a module computes, or has computed, what this node reads."""
    produced = {name: at for at, node in enumerate(graph.node) for name in node.output}
    for node in graph.node:
        at = len(entered)
        sources = [produced[name] for name in node.input if name in produced]
        entered.append(bool(modules[at]) or any(entered[source] for source in sources))
    leads_on = [module.split(".")[0] in BODY for module in modules]
    for at in range(len(modules) - 1, -1, -1):
        leads_on[at] |= any(leads_on[reader] for name in graph.node[at].output for reader in readers.get(name, ()))
    counts: Counter[str] = Counter()
    for at, node in enumerate(graph.node):
        root = BEFORE if not entered[at] else BETWEEN if leads_on[at] else AFTER
        name = f"{modules[at] or root}/{node.op_type}"
        counts[name] += 1
        node.name = name if counts[name] == 1 else f"{name}_{counts[name] - 1}"


def layer_of(node: Any) -> str:
    """The layer in a node's name; for one that was added later, what stands before its first slash."""
    return str(node.name).partition("/")[0]


def layers(graph: Any) -> tuple[str, ...]:
    """All of them, in the order in which they are first computed."""
    return tuple(dict.fromkeys(layer_of(node) for node in graph.node))


def head(graph: Any) -> frozenset[str]:
    """Layers behind the body of the encoder: its last norm, pooling, projection and unit length. They stay in FP32 in every form."""
    names = layers(graph)
    readers = _readers(graph)
    leads_to_body = [layer_of(node).split(".")[0] in BODY for node in graph.node]
    for at in range(len(leads_to_body) - 1, -1, -1):
        leads_to_body[at] |= any(
            leads_to_body[reader] for name in graph.node[at].output for reader in readers.get(name, ())
        )
    body = {layer_of(node) for at, node in enumerate(graph.node) if leads_to_body[at]}
    return frozenset(name for name in names if name not in body)


def last_values(graph: Any) -> Mapping[str, str]:
    """By layer, in the order in which they are completed: the value that its last node gives."""
    found: dict[str, str] = {}
    for node in graph.node:
        found.pop(layer_of(node), None)
        found[layer_of(node)] = node.output[0]
    return found


def _module(node: Any) -> str:
    """The innermost module around a node; empty for the encoder itself."""
    noted = next((entry.value for entry in node.metadata_props if entry.key == SCOPES), "[]")
    scopes: list[str] = ast.literal_eval(noted)
    # What the exporter adds of its own, such as the shape of the batch, has a module with a name that no attribute starts with.
    return scopes[-2].removeprefix("_empty_nn_module_stack_from_metadata_hook") if len(scopes) > 1 else ""


def _readers(graph: Any) -> dict[str, list[int]]:
    """By value: the numbers of the nodes that read it."""
    found: dict[str, list[int]] = {}
    for at, node in enumerate(graph.node):
        for name in node.input:
            found.setdefault(name, []).append(at)
    return found

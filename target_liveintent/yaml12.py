"""Reads YAML 1.2, in which `no`, `12:34` and `2026-08-01` are texts.

PyYAML itself reads YAML 1.1. A key that occurs twice and a number with a leading zero are errors
here, because nobody can tell what the user means. Importing PyYAML takes longer than importing this
whole package, so import this module only where a run needs it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

_TAG = "tag:yaml.org,2002:"
_MERGE = f"{_TAG}merge"
_NUMBERS = (f"{_TAG}int", f"{_TAG}float")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9]")
_MOST_LEVELS = 50
_SURROGATE = re.compile("[\ud800-\udfff]")


class YamlError(Exception):
    """A text cannot be used as YAML. The message usually names a line, and shows no value."""


class YamlSyntaxError(YamlError):
    """A text is not valid YAML, or its values cannot be read."""


class _Loader(yaml.SafeLoader):
    """Constructs values by the core schema of YAML 1.2.2 (chapter 10.3), and merges `<<`."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Return the node of the next value.

        PyYAML calls itself for each level. Near Python's recursion limit, code that the garbage
        collector calls would fail, too. So the limit of levels is far below the recursion limit.

        Raises:
            RecursionError: If the value is nested too deeply.
        """
        if self.depth == _MOST_LEVELS:
            raise RecursionError
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_core_str(self, node: yaml.ScalarNode) -> str:
        """Return the text of a node; a surrogate (half of a character) is an error."""
        value = self.construct_scalar(node)
        if _SURROGATE.search(value):
            raise yaml.constructor.ConstructorError(problem_mark=node.start_mark)
        return value

    def construct_core_map(self, node: yaml.MappingNode) -> dict[str, Any]:
        """Return the dictionary of a mapping, whose keys are texts as they are written.

        The mapping's own keys take precedence over merged keys, and an earlier merged mapping over
        a later one. (PyYAML 6.0.4 does this wrong if a merged mapping itself merges others.)
        """
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key, value_node in node.value:
            value = self.construct_object(value_node, deep=True)
            if key.tag != _MERGE:
                own[self.construct_core_str(key)] = value
                continue
            for mapping in value if isinstance(value, list) else [value]:
                if not isinstance(mapping, dict):
                    raise yaml.constructor.ConstructorError(problem_mark=value_node.start_mark)
                merged = {**mapping, **merged}
        return {**merged, **own}


_PATTERNS = {
    "null": r"(?:~|null|Null|NULL)?",
    "bool": "true|True|TRUE|false|False|FALSE",
    "int": "[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+",
    "float": (
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.nan|\.NaN|\.NAN"
    ),
    "merge": "<<",
}
"""The patterns of values that are not texts, by type; an earlier pattern takes precedence."""
_Loader.yaml_implicit_resolvers = {}  # Remove the patterns of YAML 1.1.
for _name, _pattern in _PATTERNS.items():
    _Loader.add_implicit_resolver(f"{_TAG}{_name}", re.compile(rf"(?:{_pattern})\Z"), None)
_Loader.add_constructor(f"{_TAG}str", _Loader.construct_core_str)
_Loader.add_constructor(f"{_TAG}map", _Loader.construct_core_map)


def load_yaml(text: str) -> Any:
    """Return the value of a YAML text; the keys of its mappings are texts.

    Raises:
        YamlError: If the text is not valid YAML 1.2, or if it is ambiguous.
    """
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        for inner, path in _nodes(node):
            if isinstance(inner, yaml.MappingNode):
                _check_keys(inner, path)
            elif isinstance(inner, yaml.ScalarNode):
                _check_number(inner, path)
        return None if node is None else loader.construct_document(node)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        msg = f"line {line} contains a control character: save the file as text in UTF-8"
    except yaml.MarkedYAMLError as error:
        msg = _syntax_message(error)
    except (ValueError, KeyError, TypeError):
        msg = "a number is too long, or a value does not fit its tag (!!…)"
    except RecursionError:
        msg = "its values are nested too deeply"
    raise YamlSyntaxError(msg)


def _syntax_message(error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark
    if mark is None or mark.buffer is None:
        return "it is not valid YAML"
    if mark.buffer[mark.pointer : mark.pointer + 1] == "\t":
        return f"line {mark.line + 1} contains a tab where YAML allows only spaces"
    return (
        f"line {mark.line + 1}, column {mark.column + 1} is not valid YAML. (Write a text with"
        " special characters in quotes)"
    )


def _nodes(root: yaml.Node | None) -> Iterator[tuple[yaml.Node, str]]:
    """Yield each node once, with the keys that lead to the node, each followed by a dot."""
    waiting: list[tuple[Any, str]] = [] if root is None else [(root, "")]
    seen = set()
    while waiting:
        node, path = waiting.pop()
        if node not in seen:  # (An alias leads to the same node again.)
            seen.add(node)
            yield node, path
            waiting += reversed(_children(node, path))


def _children(node: yaml.Node, path: str) -> list[tuple[Any, str]]:
    if isinstance(node, yaml.MappingNode):
        return [(value, f"{path}{key.value}.") for key, value in node.value]
    if isinstance(node, yaml.SequenceNode):
        return [(value, path) for value in node.value]
    return []


def _check_keys(node: yaml.MappingNode, path: str) -> None:
    lines: dict[str, int] = {}
    for key, _ in node.value:
        if key.tag == _MERGE:  # A mapping may have several merges.
            continue
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            msg = f"line {line} has a key that is not a text"
            raise YamlError(msg)
        if key.value in lines:
            msg = (
                f"the key '{path}{key.value}' is in line {lines[key.value]} and again in line"
                f" {line}: remove one of them"
            )
            raise YamlError(msg)
        lines[key.value] = line


def _check_number(node: yaml.ScalarNode, path: str) -> None:
    if node.tag in _NUMBERS and _LEADING_ZERO.match(node.value):
        line = node.start_mark.line + 1
        msg = (
            f"in line {line}, '{path[:-1]}' is a number with a leading zero: if it is a text,"
            " write it in quotes; otherwise, write it without the zero"
        )
        raise YamlError(msg)

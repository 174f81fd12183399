"""The calculator of the agents: arithmetic in a question, and its value."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable

_ARITHMETIC = re.compile(r"(?:\d[\d.]*|\()(?:[\d.\s()]*[-+*/][\d.\s()]*)+")

_OPERATORS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def find_calculation(query: str) -> str | None:
    """Return the first piece of arithmetic in a query, or None."""
    match = _ARITHMETIC.search(query)
    return match[0].strip(" .") if match else None


def calculate(expression: str) -> str:
    """Return the value of a calculation, or what is wrong with it, as a tool would say it."""
    try:
        value = _evaluate(ast.parse(expression, mode="eval").body)
    except (SyntaxError, ValueError, ZeroDivisionError) as error:
        return f"error: {error}"
    return f"{value:.10g}"


def _evaluate(node: ast.expr) -> float:
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
        return node.value
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return _OPERATORS[type(node.op)](_evaluate(node.left), _evaluate(node.right))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_evaluate(node.operand)
    raise ValueError("only numbers and + - * / are understood")

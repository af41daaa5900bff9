"""A table to paste into a paper."""

from __future__ import annotations

import pandas as pd

_MARKS = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
}  # fmt: skip


def latex_table(rows: pd.DataFrame, caption: str, digits: int = 4) -> str:
    r"""Rows as a `booktabs` table, every name as text: `\usepackage{booktabs}`.

    Args:
        rows: Any table; numbers are rounded to `digits` significant digits, NaN is a dash.
        caption: Stands above it.
        digits: Significant digits.
    """
    lines = [" & ".join(escape(column) for column in rows.columns) + r" \\"]
    body = [" & ".join(_cell(value, digits) for value in row) + r" \\" for row in rows.itertuples(index=False)]
    kinds = "".join("r" if pd.api.types.is_numeric_dtype(kind) else "l" for kind in rows.dtypes)
    return "\n".join(
        [r"\begin{table}", rf"\caption{{{escape(caption)}}}", rf"\begin{{tabular}}{{{kinds}}}", r"\toprule",
         *lines, r"\midrule", *body, r"\bottomrule", r"\end{tabular}", r"\end{table}", ""]
    )  # fmt: skip


def escape(text: object) -> str:
    """Text as LaTeX shows it."""
    return "".join(_MARKS.get(letter, letter) for letter in str(text))


def _cell(value: object, digits: int) -> str:
    if value is None or value is pd.NA or value != value:  # NaN alone differs from itself
        return "--"
    return f"{value:.{digits}g}" if isinstance(value, float) else escape(value)

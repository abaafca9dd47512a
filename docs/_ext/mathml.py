"""Formulas as MathML, which browsers draw by themselves: no script has to be fetched."""

from docutils.nodes import SkipNode
from docutils.utils.math import latex2mathml


def _inline(translator, node):
    translator.body.append(latex2mathml.tex2mathml(node.astext()))
    raise SkipNode


def _block(translator, node):
    translator.body.append(f"<div>{latex2mathml.tex2mathml(node.astext(), as_block=True)}</div>")
    raise SkipNode


def setup(app):
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    return {"parallel_read_safe": True}

"""Labels hold what people write: every character goes unharmed through tables, figures and captions."""

import html
import io
import re
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import jinja2
import made_up
import pandas as pd
import pytest
from conftest import ROOT, fpa_ok

from fpa.reporting.tables.rendering import to_latex, to_markdown, to_rows

LABELS = {
    "script": "<script>alert('x')</script>",
    "image": '<img src=x onerror="alert(1)">',
    "entity": "a &lt; b &amp; c & d",
    "latex": r"\input{/etc/passwd} \write18{touch canary} \\",
    "specials": "50 % of #1 & a_b ^2 ~ {x} $y$ \\ end",
    "formula": r"$\frac{1}{$",
    "one dollar": "100 $",
    "markdown": "**bold** _it_ [x](javascript:alert(1)) `code` ~~no~~ ![i](j) __init__",
    "pipes": "a | b \\| c || d\\",
    "rst": "`x <javascript:alert(1)>`_ |sub| *em* ref_ ::",
    "shell": "; rm -rf . && `touch canary` $(touch canary) > canary",
    "quotes": 'it\'s "quoted" “so” ‘and’ `so`',
    "path": "../../canary",
    "hidden": "_underscore first",
    "bracket": "[x] at the start",
    "star": "* a list?",
    "heading": "# a heading?",
    "rtl": "abc \u202eright to left\u202c \u05e9\u05dc\u05d5\u05dd \u200fx",
    "emoji": "painter 🎨👩‍🎨",
    "template": "{{ 7 * 7 }} {% raw %} {run} {wildcards.run} %(x)s %s",
    "comma": "a, b; c\t",
}


def table(labels: list[str]) -> pd.DataFrame:
    """Labels as rows, heading and cells."""
    rows = {label: [label, "1.0 ± 0.1"] for label in labels}
    found = pd.DataFrame.from_dict(rows, orient="index", columns=["a heading", labels[0]])
    found.index.name = "Model"
    return found


def in_one_line(label: str) -> str:
    return " ".join(label.split())


def test_the_page_shows_every_label_in_one_line():
    labels = list(LABELS.values())
    found = to_rows(table(labels))
    expected = [in_one_line(label) for label in labels]
    assert [row[0] for row in found.rows] == expected
    assert [row[1] for row in found.rows] == expected
    assert found.head == ["Model", "a heading", expected[0]]


@pytest.mark.parametrize("kind", LABELS)
def test_a_markdown_reader_shows_the_label(kind):
    """Python-Markdown, which the documentation is built with, without HTML of its own making."""
    markdown = pytest.importorskip("markdown")
    text = to_markdown(table([LABELS[kind]]), "Caption.")
    page = markdown.markdown(text, extensions=["tables"])
    cells = re.findall("<td[^>]*>(.*?)</td>", page, re.DOTALL)
    # This reader keeps the backslash of escapes that other readers, such as GitHub's, know.
    shown = re.sub(r"\\([~$|])", r"\1", html.unescape(cells[0]))
    expected = re.sub(r"\\([~$|])", r"\1", in_one_line(LABELS[kind]))
    assert shown == expected
    assert not re.search("<(script|img|a|em|strong|code)", page)


TEX = re.compile(
    r"\\(?:textbackslash|textasciicircum|textasciitilde|textless|textgreater|textbar|textasciigrave)\{\}"
    r"|\\[_%&#{}$]|\$\\pm\$|\$\\times\$|\{[\[*]\}"
)
"""What the escapes of LaTeX look like."""


@pytest.mark.parametrize("kind", LABELS)
def test_latex_has_no_command_of_a_labels_own(kind):
    text = to_latex(table([LABELS[kind]]), f"Caption of {LABELS[kind]}.")
    body = text.split(r"\midrule")[1].split(r"\bottomrule")[0]
    caption = re.search(r"\\caption\{(.*)\}\n", text)[1]
    for part in (*body.strip().removesuffix(r"\\").split(" & "), caption):
        rest = TEX.sub("", part)
        assert not re.search(r"[\\{}$&#^_%~]", rest), rest
    assert body.count(" & ") - body.count(r"\& ") == 2 or r"\&" in body


@pytest.mark.skipif(not shutil.which("lualatex"), reason="LaTeX is not installed")
def test_latex_sets_every_label(tmp_path):
    text = to_latex(table(list(LABELS.values())), "Caption.")
    preamble = "\\documentclass{article}\\usepackage{booktabs}\\begin{document}\n"
    (tmp_path / "t.tex").write_text(f"{preamble}{text}\\end{{document}}\n")
    words = ("lualatex", "-halt-on-error", "-interaction=batchmode", "t.tex")
    assert subprocess.run(words, cwd=tmp_path, capture_output=True).returncode == 0


@pytest.mark.parametrize("kind", LABELS)
def test_snakemakes_report_shows_the_caption_as_it_is(kind):
    """The caption's template, and docutils as Snakemake calls it."""
    core = pytest.importorskip("docutils.core")
    caption = f"Samples of {LABELS[kind]}."
    template = jinja2.Template((ROOT / "workflow/report/figure.rst").read_text())
    snakemake = type("Job", (), {"params": type("Params", (), {"caption": caption})})
    source = template.render(snakemake=snakemake)
    stream = io.StringIO()
    settings = {"warning_stream": stream, "output_encoding": "unicode"}
    tree = core.publish_string(source, writer="xml", settings_overrides=settings)
    # Of everything, one paragraph of plain text.
    root = ElementTree.fromstring(re.sub(r"<!DOCTYPE[^>]*>", "", tree))
    (paragraph,) = list(root)
    assert (paragraph.tag, len(paragraph)) == ("paragraph", 0)
    assert in_one_line(paragraph.text) == in_one_line(caption)
    assert stream.getvalue() == ""


@pytest.mark.filterwarnings("ignore:Glyph")
@pytest.mark.filterwarnings("ignore:.*missing from font")
def test_a_report_with_such_labels_shows_them_all(tmp_path):
    # A few: every model is drawn in every figure.
    chosen = ("script", "image", "formula")
    labels = {f"dcgan_{kind}": in_one_line(LABELS[kind]) for kind in chosen}
    config = made_up.experiment(models=tuple(labels))
    for name, label in labels.items():
        config["models"][name]["label"] = label
    _, specs, results = made_up.fill(tmp_path, config)
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    fpa_ok("report", "results", cwd=tmp_path)
    page = (results / "report.html").read_text()
    shown = html.unescape(page)
    for label in labels.values():
        assert label in shown, label
    text = page.split("</style>")[1].split("<script")[0]
    assert not re.search(r"<script>alert|<img src=x|javascript:alert\(1\)\"", text)
    written = {path.relative_to(results).parts[0] for path in tmp_path.rglob("*") if path.is_file()}
    assert written <= {"experiment.json", "runs", "real", "tables", "figures", "report.html"}
    assert before <= {path for path in tmp_path.rglob("*") if path.is_file()}
    drawn = {path.stem for path in (results / "figures").iterdir()}
    assert set(specs) == drawn
    assert not Path(tmp_path / "canary").exists()


def test_a_figure_draws_the_label_rather_than_a_formula(tmp_path):
    import matplotlib.pyplot as plt

    from fpa.reporting.figures.theme import as_drawn

    figure, axes = plt.subplots()
    for label in map(in_one_line, LABELS.values()):
        axes.plot([0, 1], label=as_drawn(label))
    found = [text.get_text().strip().replace("\n", " ") for text in axes.legend().get_texts()]
    assert [text.replace("\\$", "$") for text in found] == [in_one_line(v) for v in LABELS.values()]
    # A formula that cannot be read would end here.
    figure.savefig(tmp_path / "labels.svg")
    plt.close(figure)

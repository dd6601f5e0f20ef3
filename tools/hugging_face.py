"""Writes docs/huggingface.md: what transformers' common tests say of our models, and why a test is left out.

python tools/hugging_face.py runs them (ten minutes on one core); with files of pytest's --junitxml, named after
their releases, it reads those: python tools/hugging_face.py 5.23.0.xml 5.24.0.xml
"""

import subprocess
import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "tests" / "huggingface"
HEAD = """# With Hugging Face

## transformers' common tests

`tests/huggingface` runs `ModelTesterMixin` and `ConfigTester` of the installed release of transformers on seven
families of mixers, as encoders, causal language models and encoder-decoders; `python tools/hugging_face.py` writes this
page. The mixins come from the release's source archive, which lacks `GenerationTesterMixin`, `ExportTesterMixin` and
`config_common_kwargs`: empty stand-ins take their place, and `tests/models/test_generation.py`,
`tests/huggingface/test_cache.py` and `test_graphs.py` test generation, caches and export.
"""
WHY = """
No test fails. Those left out are left out by the library itself or by name in `tests/huggingface/families.py`:

"""

END = """
## What is no single graph

`torch.compile(fullgraph=True)` takes every registry entry in inference and in training, and gives the logits and
gradients of the model. Two forms of the graph mixer are no single graph: with `block_size` its router
writes the products of all blocks into one space, and with `levels` the links in training depend on the number of
training calls.

## Padding

Padding changes no logits of valid tokens, but for the graph mixer with a `block_size` or `levels`: blocks are
counted from the first token given, padding or not. Pad those texts on the right.

## Adapters

`peft.get_peft_model(model, peft.LoraConfig())` adapts the linear layers of every block where no `target_modules` are
named; heads stay, and PEFT's task types train a head of classes whole (`score`). A mixer of your own whose layers have
other names is reached by `target_modules="all-linear"`.

## What is refused

A folder of a decoder opens with `AutoModelForCausalLM` and, for features, with `AutoModel`; a classification head on it
is refused: train an encoder for classes.
"""


def measured() -> list[Path]:
    """The tests' own report, of a run now with the installed release."""
    import transformers

    path = ROOT / "build" / "huggingface" / f"{transformers.__version__}.xml"
    files = [str(file) for file in sorted(FOLDER.glob("test_common_*.py"))]
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-m", "slow", *files, f"--junitxml={path}"],
        cwd=ROOT,
        check=False,
    )
    return [path]


def counts_of(report: Path) -> tuple[dict[str, Counter], Counter]:
    """{class of models: how its tests ended}, and how often each reason left one out."""
    counts: dict[str, Counter] = {}
    reasons: Counter = Counter()
    for case in ElementTree.parse(report).iter("testcase"):
        name = case.get("classname", "").rpartition(".")[2].removeprefix("Test")
        skipped, failed = case.find("skipped"), case.find("failure")
        kind = "left out" if skipped is not None else "failed" if failed is not None else "passed"
        counts.setdefault(name, Counter())[kind] += 1
        if skipped is not None:
            reasons[skipped.get("message", "").partition(" <class")[0].replace("|", "/")] += 1
    return counts, reasons


def page(reports: list[Path]) -> str:
    """The page as Markdown: a table for each release, which its report is named after."""
    found = {report.stem: counts_of(report) for report in reports}
    parts = [HEAD]
    for version, (counts, _) in found.items():
        rows = [
            f"| {n} | {c['passed']} | {c['failed']} | {c['left out']} |" for n, c in sorted(counts.items())
        ]
        whole: Counter = sum(counts.values(), Counter())
        rows.append(f"| all | {whole['passed']} | {whole['failed']} | {whole['left out']} |")
        head = [f"\n### {version}\n", "| models | passed | failed | left out |", "|---|---|---|---|"]
        parts.append("\n".join([*head, *rows]) + "\n")
    every = {reason for _, reasons in found.values() for reason in reasons}
    times = {reason: [reasons[reason] for _, reasons in found.values()] for reason in every}
    why = [
        f"| {reason} | {' | '.join(map(str, times[reason]))} |"
        for reason in sorted(every, key=lambda reason: (-max(times[reason]), reason))
    ]
    columns = f"| reason | {' | '.join(found)} |\n|{'---|' * (1 + len(found))}\n"
    return "".join(parts) + WHY + columns + "\n".join(why) + "\n" + END


if __name__ == "__main__":
    text = page([Path(name) for name in sys.argv[1:]] or measured())
    (ROOT / "docs" / "huggingface.md").write_text(text)

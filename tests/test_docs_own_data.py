"""The commands of ``docs/own-data.md`` run on the files that the page shows, and print what it says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

PAGE = (Path(__file__).parent.parent / "docs/own-data.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"^`(\S+)`:\n\n```text\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE))
BLOCKS = re.findall(r"^```console\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
PRINTED = re.search(r"The first command prints:\n\n```text\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)[1]


@pytest.mark.parametrize("place", range(len(BLOCKS)))
def test_the_commands_of_the_page_run(call, place):
    if "smiles" in BLOCKS[place]:
        pytest.importorskip("rdkit")
    for name, text in FILES.items():
        Path(name).write_text(text, encoding="utf-8")
    for line in BLOCKS[place].splitlines():
        command = shlex.split(line)[1:]
        short = ["--epochs", "1", "--seeds", "1"] if command[0] == "train" else []
        code, said, told = call(*command, *short)
        assert code == 0, told
        if "--dry-run" in command:
            found, expected = (["".join(each.split()) for each in text.splitlines()] for text in (said, PRINTED))
            assert found == expected

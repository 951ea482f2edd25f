"""Every study that is stopped, at any point, goes on to the same bits: results, records, weights, all files."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch

from graphkit.training import Interrupted, Silence
from graphkit.training.engine.store import read_tensors
from tests.training.studies import STUDIES


class Stop(Silence):
    """Stops a run after so many events; without a number it counts them."""

    def __init__(self, after=0):
        self.after, self.heard = after, 0

    def hear(self):
        self.heard += 1
        if self.heard == self.after:
            raise KeyboardInterrupt

    def on_epoch(self, unit, epoch, best):
        self.hear()

    def on_unit(self, unit, result):
        self.hear()


def plain(fields):
    """Return fields without the time anything took."""
    if isinstance(fields, dict):
        return {name: plain(value) for name, value in fields.items() if "seconds" not in name}
    if isinstance(fields, list | tuple):
        return [plain(value) for value in fields]
    return fields.tolist() if isinstance(fields, torch.Tensor) else fields


def left(folder):
    """Return what lies in a run's folder."""
    files = {path.name: path for path in folder.glob("[!.]*") if path.is_file()}
    found = {name: path.read_bytes() for name, path in files.items() if path.suffix == ".safetensors"}
    record = json.loads(files["record.json"].read_text())
    return found, plain(record), plain(read_tensors(files["checkpoint.pt"]))


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_that_is_stopped_goes_on_to_the_same_bits(name, tmp_path):
    study, counted = STUDIES[name], Stop()
    study(tmp_path / "whole", reporter=counted)
    expected = left(tmp_path / "whole")
    assert expected[2]["complete"]
    for point in sorted({1, 2, counted.heard // 2, counted.heard - 1}):
        folder = tmp_path / f"stopped-{point}"
        with pytest.raises(Interrupted, match=r"stopped .*resume from"):
            study(folder, reporter=Stop(point))
        study(folder, resume=True)
        assert left(folder) == expected, f"stopped after {point} of {counted.heard}"


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_that_goes_on_again_and_again_takes_no_epoch_twice(name, tmp_path):
    study, counted = STUDIES[name], Stop()
    study(tmp_path / "whole", reporter=counted)

    taken = []

    class Once(Silence):
        def on_epoch(self, unit, epoch, best):
            taken.append((unit.key, epoch.number))
            raise KeyboardInterrupt

    for attempt in range(counted.heard + 1):
        try:
            study(tmp_path / "steps", reporter=Once(), resume=attempt > 0)
            break
        except Interrupted:
            continue
    else:
        pytest.fail("it never ends")
    assert len(taken) == len(set(taken))
    assert left(tmp_path / "steps") == left(tmp_path / "whole")


@pytest.mark.parametrize("name", STUDIES)
def test_a_finished_study_is_not_run_again(name, tmp_path):
    study, heard = STUDIES[name], []

    class Hear(Silence):
        def on_epoch(self, unit, epoch, best):
            pytest.fail("it is trained again")

        def on_unit(self, unit, result):
            heard.append(dataclasses.replace(unit))

    study(tmp_path)
    study(tmp_path, reporter=Hear(), resume=True)
    assert [unit.number for unit in heard] == list(range(1, heard[0].total + 1))

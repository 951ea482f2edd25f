"""What holds for every test and doctest here: no network, never the user's own data folder, the same random numbers."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

MIRROR = Path(__file__).parent.parent / "shared" / "data"
"""Where the real files are looked for when ``$GRAPHKIT_MIRROR`` names no other folder."""


@pytest.fixture(scope="session", autouse=True)
def own_data_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give the whole session one temporary data folder, and the mirror if there is one."""
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("data-home")
        patch.setenv("GRAPHKIT_DATA", str(home))
        if "GRAPHKIT_MIRROR" not in os.environ and MIRROR.is_dir():
            patch.setenv("GRAPHKIT_MIRROR", str(MIRROR))
        yield home


@pytest.fixture(scope="session", autouse=True)
def no_network() -> Iterator[None]:
    """Refuse every connection and name look-up that would leave this machine."""
    connect, look_up = socket.socket.connect, socket.getaddrinfo
    local = ("localhost", "127.0.0.1", "::1", "0.0.0.0", "", None, socket.gethostname())

    def refuse_connect(self: socket.socket, address: object) -> None:
        if self.family != socket.AF_UNIX and isinstance(address, tuple) and address[0] not in local:
            raise OSError(f"a test must not use the network (tried {address[0]})")
        connect(self, address)

    def refuse_look_up(host: object, *arguments: object, **options: object) -> object:
        if (host.decode() if isinstance(host, bytes) else host) not in local:
            raise OSError(f"a test must not use the network (tried {host})")
        return look_up(host, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", refuse_connect)
        patch.setattr(socket, "getaddrinfo", refuse_look_up)
        yield


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Seed the global generators before any fixture of a test draws, so that no test hangs on what ran before it."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - PyG and scikit-learn draw from the global generator
    torch.manual_seed(0)


ONE_AT_A_TIME = (
    "tests/data/test_distributed.py",
    "tests/test_cli_stages.py",
    "tests/test_two_hosts.py",
    "tests/training/links/test_sampled_links.py",
    "tests/training/test_graph_processes.py",
    "tests/training/test_interrupts.py",
    "tests/training/test_meta_processes.py",
    "tests/training/test_nested.py",
    "tests/training/test_processes.py",
    "tests/training/test_silent_processes.py",
)
"""Files whose tests start processes that wait for each other, or measure time: never two of them at once."""


def group_of(nodeid: str) -> str:
    """Return what runs on one worker in its own order: a file, or all files of ``ONE_AT_A_TIME``."""
    file = nodeid.partition("::")[0]
    return "one at a time" if file in ONE_AT_A_TIME else file


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let a worker of several begin with the tests that run one at a time, so that none waits for them at the end."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: group_of(item.nodeid) != "one at a time")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Give each worker of ``pytest -n`` one file after the other: what a file's tests share is made once."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid)

    config.option.loadscopereorder = False  # the order of collection, not of the number of tests
    return ByFile(config, log)

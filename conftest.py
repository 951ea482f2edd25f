"""What holds for every test and doctest here: no network, and never the user's own data folder."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

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

"""Old names: each gives what the new one gives, and warns; the registry is what the helper was told."""

import importlib
import pkgutil

import pytest

import graphkit
from graphkit import _exports
from graphkit._exports import deprecated_arguments, deprecated_method, deprecated_names

OWN = "graphkit._deprecated_test"


def _import_everything():
    for module in pkgutil.walk_packages(graphkit.__path__, "graphkit."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


def _object(path):
    """The object at a dotted path, whatever part of it is the module."""
    parts = path.split(".")
    for count in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        for attribute in parts[count:]:
            found = getattr(found, attribute)
        return found
    raise AssertionError(f"no module begins {path}")


def test_every_old_name_gives_the_new_object():
    _import_everything()
    for package, renamed in _exports._renamed_names.items():
        if package == OWN:
            continue
        module = importlib.import_module(package)
        for old, new in renamed.items():
            assert old not in getattr(module, "__all__", ()), f"{package}.{old} is old and public"
            assert old not in vars(module), f"{package}.{old} stands in the module, so that its use would not warn"
            with pytest.warns(DeprecationWarning, match=old):
                assert getattr(module, old) is _object(new)


def test_every_old_method_and_keyword_names_one_that_is_there():
    _import_everything()
    for old, new in _exports._renamed_methods.items():
        if "test_deprecated" not in old:
            assert _object(new) is not None, old
    for path, renamed in _exports._renamed_arguments.items():
        if "test_deprecated" in path:
            continue
        function = _object(path)
        code = function.__wrapped__.__code__
        keywords = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        for old, new in renamed.items():
            assert new in keywords, f"{path} has no {new}"
            assert old not in keywords, f"{path} still has {old}"


def test_a_name_that_never_was_is_an_attribute_error():
    look_up = deprecated_names(OWN, {"tree": "graphkit.ROOMS"}, lambda name: f"{name} from elsewhere")
    with pytest.warns(DeprecationWarning, match="was renamed to graphkit.ROOMS"):
        assert look_up("tree") is graphkit.ROOMS
    assert look_up("bush") == "bush from elsewhere"
    with pytest.raises(AttributeError, match="has no attribute 'bush'"):
        deprecated_names(OWN, {})("bush")


def test_old_keywords_warn_and_both_are_refused():
    @deprecated_arguments(length="size")
    def area(size, *, height=1):
        return size * height

    assert area(3, height=2) == 6
    with pytest.warns(DeprecationWarning, match="size="):
        assert area(length=3) == 3
    with pytest.raises(TypeError, match="give `size` alone"):
        area(size=1, length=3)


def test_old_methods_are_the_new_ones():
    class Square:
        def __init__(self):
            self.side = 2

        def area(self):
            return self.side**2

        surface = deprecated_method("area")
        length = deprecated_method("side")

    square = Square()
    with pytest.warns(DeprecationWarning, match=r"Square\.surface was renamed to area"):
        assert square.surface() == 4
    with pytest.warns(DeprecationWarning, match="side"):
        assert square.length == 2


def test_old_fields_of_options_are_the_new_ones():
    from graphkit.training import recipe

    with pytest.warns(DeprecationWarning, match="the field shares of the recipe 'sage' was renamed to microbatches"):
        made = recipe("sage", {"fan_out": "3,2", "shares": 2})
    assert made == recipe("sage", {"fan_out": "3,2", "microbatches": 2})
    with pytest.raises(ValueError, match="give `microbatches` alone"):
        recipe("sage", {"fan_out": "3,2", "shares": 2, "microbatches": 2})
    with (
        pytest.warns(DeprecationWarning, match="shares"),
        pytest.raises(ValueError, match="`microbatches` decides nothing"),
    ):
        recipe("gcn", {"shares": 2})

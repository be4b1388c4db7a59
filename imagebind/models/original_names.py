"""Support for class names of the original project, which stand for classes of this package."""

from typing import Any


class OriginalName(type):
    """Metaclass of an original name: instances of our classes count as its instances in `isinstance`.

    Args:
        ours: the classes of this package.
        name: if given, only instances with this `name` attribute count, such as "audio".
        instead: what to build instead; if given, calling the class raises a `TypeError` with this text.
    """

    _ours: tuple[type, ...]
    _name: str | None
    _instead: str | None = None

    def __new__(mcs, class_name: str, bases: tuple[type, ...], namespace: dict[str, Any], **_: Any) -> Any:
        return super().__new__(mcs, class_name, bases, namespace)

    def __init__(
        cls,
        class_name: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],
        *,
        ours: tuple[type, ...] = (),
        name: str | None = None,
        instead: str | None = None,
    ) -> None:
        super().__init__(class_name, bases, namespace)
        cls._ours, cls._name = ours, name
        if instead is not None:  # otherwise a subclass inherits it
            cls._instead = instead

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        if cls._instead is not None:
            raise TypeError(f"{cls.__name__}: cannot be built with the original's arguments; {cls._instead}")
        return super().__call__(*args, **kwargs)

    def __instancecheck__(cls, instance: Any) -> bool:
        if super().__instancecheck__(instance):
            return True
        return isinstance(instance, cls._ours) and cls._name in (None, getattr(instance, "name", None))

    def __subclasscheck__(cls, subclass: type) -> bool:
        return super().__subclasscheck__(subclass) or issubclass(subclass, cls._ours)

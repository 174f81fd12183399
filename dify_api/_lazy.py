"""Modules that are imported when something of them is first asked for."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Any


class LazyModule(ModuleType):
    """Stands for a module that takes long to import, and that only calls need.

    An import statement in a function takes a microsecond or more each time, and a call would come
    past several. Type checkers are shown the module itself.

    Example:
        >>> if TYPE_CHECKING:
        ...     from dify_api import client
        ... else:
        ...     client = LazyModule("dify_api.client")
        >>> client.DifyClient
        <class 'dify_api.client.DifyClient'>
    """

    def __getattr__(self, name: str) -> Any:
        module = import_module(self.__name__)
        vars(self).update(vars(module))
        return getattr(module, name)

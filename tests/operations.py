"""The operations that some code runs, to count launches, copies and messages."""

from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

VIEWS = ('detach', 'select', 'view', 'split', 'split_with_sizes', 'unsqueeze')


class Operations(TorchDispatchMode):
    """Notes the names of operations, in order; views, which launch nothing, are left out."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        name = function._schema.name.split('::')[1]
        if name not in VIEWS:
            self.names.append(name)
        return function(*args, **(kwargs or {}))

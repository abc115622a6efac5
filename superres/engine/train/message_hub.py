"""What mmengine's parts report while they work, without its ever-growing history."""

from __future__ import annotations

from typing import Any


class LastScalars:
    """Stands in for mmengine's MessageHub: keeps the last value of each scalar only.

    The original appends every value to a numpy array that is copied on each append, which costs
    more per iteration the longer a run lasts.
    """

    def __init__(self) -> None:
        self.scalars: dict[str, Any] = {}
        self.runtime_info: dict[str, Any] = {}

    def update_scalar(self, key: str, value: Any, count: int = 1, resumed: bool = True) -> None:
        """Note the latest value."""
        self.scalars[key.removeprefix("train/")] = value

    def update_scalars(self, values: dict[str, Any], resumed: bool = True) -> None:
        """Note several."""
        for key, value in values.items():
            self.update_scalar(key, value["value"] if isinstance(value, dict) else value)

    def update_info(self, key: str, value: Any, resumed: bool = True) -> None:
        """Note a piece of information."""
        self.runtime_info[key] = value

    def get_info(self, key: str, default: Any = None) -> Any:
        """Give it back."""
        return self.runtime_info.get(key, default)

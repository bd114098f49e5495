from typing import Any

lib: Any
ffi: Any
__file__: str

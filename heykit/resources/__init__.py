"""What lies outside the process: for now, files.

    async with file_store("./data", max_bytes=64 * 1024 * 1024) as files:
        await files.put("videos/7.svg", content)  # bytes, or an async iterable of bytes
        async with files.open("videos/7.svg") as chunks:
            async for chunk in chunks: ...
        await files.info("videos/7.svg")  # name, size, when written; None where there is none
        await files.delete("videos/7.svg")

A name is a relative path with `/`. None can leave the root: `..`, absolute names, backslashes, control characters and
parts that begin with a dot are `NameRefused`, and symbolic links under the root are not followed.
"""

from __future__ import annotations

from heykit.resources.directories import made_directory
from heykit.resources.files import file_store
from heykit.resources.protocol import FileInfo, FileStore

__all__ = ["FileInfo", "FileStore", "file_store", "made_directory"]

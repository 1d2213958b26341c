"""Where the rows of a log come from: files, tables and stores as batches of columns, read anew whenever they are asked for."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nba_engine.errors import ReplayError, StoreError

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_AT_ONCE = 2**18
"""Rows that are held at once where a log is read in one pass."""

_CSV_BLOCKS = 2**20, 100 * 2**20

FORMS = ".parquet, .csv, .arrow, .feather or the folder of a store"


@dataclass(frozen=True, slots=True)
class Source:
    """Rows that can be read again and again. `batches(names)`: tables of just these columns, in the log's order; `n_rows` None where not known."""

    schema: pa.Schema
    n_rows: int | None
    batches: Callable[[Sequence[str]], Iterator[pa.Table]]

    def read(self, names: Sequence[str]) -> Iterator[pa.Table]:
        """Tables of at most ROWS_AT_ONCE rows with these columns: batches as they come, small ones together."""
        import pyarrow as pa

        held: list[pa.Table] = []
        n_held = 0
        try:
            for batch in self.batches(names):
                for start in range(0, batch.num_rows, ROWS_AT_ONCE):
                    part = batch.slice(start, ROWS_AT_ONCE)
                    if n_held + part.num_rows > ROWS_AT_ONCE:
                        yield pa.concat_tables(held)
                        held, n_held = [], 0
                    held.append(part)
                    n_held += part.num_rows
            if held:
                yield pa.concat_tables(held)
        except (OSError, pa.ArrowException) as error:
            raise ReplayError(f"the log cannot be read to its end ({error})") from error


def open_source(given: Any) -> Source:
    """A path, or anything that exports Arrow or is a mapping of columns, as a source. ReplayError where it is neither, or cannot be opened."""
    import pyarrow as pa

    if not isinstance(given, str | Path):
        try:
            return _of_table(given if isinstance(given, pa.Table) else pa.table(given))
        except (TypeError, ValueError, pa.ArrowException) as error:
            raise ReplayError(f"came {type(given).__name__}, no table ({error}); give a path, an Arrow table or a mapping of columns") from error
    path = Path(given)
    if path.is_dir():
        from nba_engine.exporting import read_store

        try:
            return _of_table(read_store(path))
        except StoreError as error:
            raise ReplayError(f"the log {given} cannot be read: {error}") from error
    opened = {".parquet": _parquet, ".csv": _csv, ".arrow": _arrow, ".feather": _arrow}.get(path.suffix.lower())
    if opened is None:
        raise ReplayError(f"the log {given} ends in {path.suffix.lower() or 'nothing'!r}; give {FORMS}")
    try:
        return opened(path)
    except (OSError, pa.ArrowException) as error:
        raise ReplayError(f"the log {given} cannot be read ({error})") from error


def _of_table(table: pa.Table) -> Source:
    def batches(names: Sequence[str]) -> Iterator[pa.Table]:
        wanted = table.select(list(names))
        yield from (wanted.slice(start, ROWS_AT_ONCE) for start in range(0, table.num_rows, ROWS_AT_ONCE))

    return Source(table.schema, table.num_rows, batches)


def _parquet(path: Path) -> Source:
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        schema, n_rows = file.schema_arrow, file.metadata.num_rows

    def batches(names: Sequence[str]) -> Iterator[pa.Table]:
        with parquet.ParquetFile(path, pre_buffer=False) as file:  # buffered ahead, what was read would be kept to the end
            yield from _tables(file.iter_batches(ROWS_AT_ONCE, columns=list(names)), names)

    return Source(schema, n_rows, batches)


def _csv(path: Path) -> Source:
    """Types are those of the first megabyte, or of a hundred where a column is blank in it; a later value that does not fit is an error."""
    import pyarrow as pa
    from pyarrow import csv

    with path.open("rb") as file:
        header = file.readline()
    if header.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ReplayError(f"the log {path} is written in UTF-16; save it as UTF-8")
    for separator in (b";", b"\t", b"|"):
        if separator in header and b"," not in header:
            raise ReplayError(f"the log {path} separates its columns by {separator.decode()!r}; separate them by commas, and write 0.5, not 0,5")
    schema = pa.schema([])
    for block in _CSV_BLOCKS:  # a column that is blank for the first megabyte gets its type from more
        with csv.open_csv(path, read_options=csv.ReadOptions(block_size=block)) as reader:
            schema = reader.schema
        if not any(map(pa.types.is_null, schema.types)):
            break

    def batches(names: Sequence[str]) -> Iterator[pa.Table]:
        if odd := [name for name in names if pa.types.is_binary(schema.field(name).type)]:
            raise ReplayError(f"the log {path} is not written in UTF-8, as column {odd[0]} shows; save it as UTF-8")
        with csv.open_csv(path, convert_options=csv.ConvertOptions(include_columns=[*dict.fromkeys(names)], column_types=schema)) as reader:
            try:
                yield from _tables(reader, names)
            except pa.ArrowInvalid as error:
                raise ReplayError(f"the log {path} cannot be read to its end ({error}); what a column holds is told from the file's first megabyte: "
                                  "write 1.0 and not 1 where numbers with a point come later, or give Parquet") from error

    return Source(schema, None, batches)


def _arrow(path: Path) -> Source:
    """The file format, as feather writes it, or a stream."""
    import pyarrow as pa

    def opened() -> tuple[pa.Schema, Iterable[pa.RecordBatch]]:
        try:
            file = pa.ipc.open_file(path)
        except pa.ArrowInvalid:
            stream = pa.ipc.open_stream(pa.memory_map(str(path)))
            return stream.schema, stream
        return file.schema, (file.get_batch(i) for i in range(file.num_record_batches))

    return Source(opened()[0], None, lambda names: _tables(opened()[1], names))


def _tables(batches: Iterable[pa.RecordBatch], names: Sequence[str]) -> Iterator[pa.Table]:
    import pyarrow as pa

    for batch in batches:
        yield pa.Table.from_batches([batch.select(list(names))])

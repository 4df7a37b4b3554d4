use std::collections::VecDeque;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use elm_text::{Error, ErrorKind, Result, guard};
use parquet::basic::Type;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl, get_column_reader};
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::file::reader::{FileReader, SerializedFileReader};

use super::lines::read_error;
use super::pages::CheckedPages;
use super::parquet_heads::{oversized_group, oversized_page};
use super::{ReaderOptions, Source};

/// Rows decoded at a time.
const ROWS: usize = 256;
/// The most that one row group's text may take; writers keep row groups to some hundred megabytes.
const MAX_CHUNK: i64 = 4 << 30;
/// Rows that a row group may have beside those that its bytes are enough for: what programs write at most, when all of them
/// are empty.
const FREE_ROWS: u64 = 1 << 20;
/// Rows that a byte may stand for.
const ROWS_PER_BYTE: u64 = 1 << 10;

/// One string column of a Parquet file; the other columns are not read.
pub struct ParquetColumn {
    path: PathBuf,
    /// The file as such, for the heads of its pages.
    raw: File,
    file: SerializedFileReader<File>,
    column: usize,
    limit: usize,
    optional: bool,
    row_group: usize,
    reader: Option<ColumnReaderImpl<ByteArrayType>>,
    rows: VecDeque<Option<ByteArray>>,
    row: u64,
    read: Arc<AtomicU64>,
}

impl ParquetColumn {
    pub fn open(path: &Path, options: &ReaderOptions, read: Arc<AtomicU64>) -> Result<ParquetColumn> {
        let file = File::open(path).map_err(|error| Error::file(path, "open", &error))?;
        let size = file.metadata().map_err(|error| Error::file(path, "open", &error))?.len();
        let raw = file.try_clone().map_err(|error| Error::file(path, "open", &error))?;
        if let Some(columns) = oversized_group(&raw).map_err(|error| read_error(path, &error))? {
            return Err(Error::format(
                path,
                format_args!("a group of the schema states {columns} columns, more than there are"),
            ));
        }
        let file = parsing(path, || SerializedFileReader::new(file))?;
        let schema = file.metadata().file_metadata().schema_descr_ptr();
        let names: Vec<String> = schema.columns().iter().map(|column| column.path().string()).collect();
        let column = names.iter().position(|name| *name == options.text_key).ok_or_else(|| {
            let names = names.join(", ");
            Error::format(path, format_args!("no column {:?}; there are {names}", options.text_key))
        })?;
        let description = schema.column(column);
        if description.physical_type() != Type::BYTE_ARRAY || description.max_rep_level() > 0 {
            return Err(Error::format(
                path,
                format_args!("column {:?} does not hold strings", options.text_key),
            ));
        }
        for (i, group) in file.metadata().row_groups().iter().enumerate() {
            let chunk = group.columns().get(column);
            let (stored, whole) =
                chunk.map_or((-1, -1), |chunk| (chunk.compressed_size(), chunk.uncompressed_size()));
            let rows = u64::try_from(group.num_rows()).unwrap_or(u64::MAX);
            let most = FREE_ROWS + ROWS_PER_BYTE * size.min(stored.max(0) as u64);
            if stored < 0 || stored as u64 > size || !(0..=MAX_CHUNK).contains(&whole) || rows > most {
                return Err(Error::format(path, format_args!("row group {i} states impossible sizes")));
            }
        }
        Ok(ParquetColumn {
            path: path.to_owned(),
            raw,
            column,
            limit: options.max_document_bytes,
            optional: description.max_def_level() > 0,
            row_group: 0,
            reader: None,
            rows: VecDeque::new(),
            row: 0,
            read,
            file,
        })
    }

    /// Refuses a row group with a page that could not be as large as it says.
    fn check_heads(&self) -> Result<()> {
        let chunk = self.file.metadata().row_group(self.row_group).column(self.column);
        let (start, length) = guard(ErrorKind::Format, "Parquet", || Ok(chunk.byte_range()))
            .map_err(|error| error.at(&self.path))?;
        let found = oversized_page(&self.raw, start, length);
        match found.map_err(|error| read_error(&self.path, &error))? {
            None => Ok(()),
            Some(size) => Err(Error::format(
                &self.path,
                format_args!(
                    "a page of row group {} states {size} bytes, more than it can hold",
                    self.row_group
                ),
            )),
        }
    }

    /// Decodes more rows; false at the end of the file.
    fn fill(&mut self) -> Result<bool> {
        while self.rows.is_empty() {
            if self.reader.is_none() {
                if self.row_group == self.file.num_row_groups() {
                    return Ok(false);
                }
                let (file, group, column) = (&self.file, self.row_group, self.column);
                self.check_heads()?;
                let reader = parsing(&self.path, || {
                    let group = file.get_row_group(group)?;
                    let description = group.metadata().column(column).column_descr_ptr();
                    let rows = group.metadata().num_rows().max(0) as u64;
                    let pages = group.get_column_page_reader(column)?;
                    let checked = CheckedPages::new(pages, description.max_def_level(), rows);
                    Ok(get_column_reader(description, Box::new(checked)))
                })?;
                let ColumnReader::ByteArrayColumnReader(reader) = reader else {
                    return Err(Error::format(&self.path, "the text column changes its type"));
                };
                self.reader = Some(reader);
            }
            let reader = self.reader.as_mut().expect("a row group is open");
            let (mut values, mut levels) = (Vec::new(), Vec::new());
            let optional = self.optional;
            let (records, _, _) = parsing(&self.path, || {
                reader.read_records(ROWS, optional.then_some(&mut levels), None, &mut values)
            })?;
            if records == 0 {
                let chunk = self.file.metadata().row_group(self.row_group).column(self.column);
                self.read.fetch_add(chunk.compressed_size().max(0) as u64, Ordering::Relaxed);
                self.reader = None;
                self.row_group += 1;
                continue;
            }
            let mut values = values.into_iter();
            if self.optional {
                // Without repetition the top level means a value; below it, one of the enclosing fields is null.
                let top =
                    self.file.metadata().file_metadata().schema_descr().column(self.column).max_def_level();
                self.rows.extend(levels.iter().map(|&level| if level == top { values.next() } else { None }));
            } else {
                self.rows.extend(values.map(Some));
            }
        }
        Ok(true)
    }
}

impl Source for ParquetColumn {
    fn next(&mut self) -> Result<Option<String>> {
        if !self.fill()? {
            return Ok(None);
        }
        let value = self.rows.pop_front().flatten();
        let row = self.row;
        self.row += 1;
        let Some(value) = value else { return Ok(Some(String::new())) };
        let bytes = parsing(&self.path, || Ok(value.data()))?;
        if bytes.len() > self.limit {
            return Err(Error::format(
                &self.path,
                format_args!("row {row}: longer than {} bytes", self.limit),
            ));
        }
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Some(text.to_owned())),
            Err(error) => Err(Error::format(
                &self.path,
                format_args!("row {row}: not UTF-8 at byte {}", error.valid_up_to()),
            )),
        }
    }

    /// Whole row groups are passed over unread.
    fn skip(&mut self, count: u64) -> Result<()> {
        let mut left = count;
        while left > 0 {
            if self.reader.is_none() && self.rows.is_empty() && self.row_group < self.file.num_row_groups() {
                let group = self.file.metadata().row_group(self.row_group);
                let rows = group.num_rows() as u64;
                if rows <= left {
                    self.row += rows;
                    self.row_group += 1;
                    left -= rows;
                    continue;
                }
            }
            if !self.fill()? {
                break;
            }
            let now = left.min(self.rows.len() as u64);
            self.rows.drain(..now as usize);
            self.row += now;
            left -= now;
        }
        Ok(())
    }
}

fn parsing<T>(path: &Path, work: impl FnOnce() -> parquet::errors::Result<T>) -> Result<T> {
    guard(ErrorKind::Format, "Parquet", || {
        work().map_err(|error| match error {
            parquet::errors::ParquetError::External(cause) if cause.is::<std::io::Error>() => {
                read_error(path, cause.downcast_ref().expect("just checked"))
            }
            other => Error::format(path, other),
        })
    })
    .map_err(|error| error.at(path))
}

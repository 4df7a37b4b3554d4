use parquet::basic::Encoding;
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result};

use super::thrift;

/// The pages of a column, whose counts are held to what the pages have bytes for: decoders make room for as many values as
/// are announced, and the process ends where that much memory is not there.
pub struct CheckedPages {
    inner: Box<dyn PageReader>,
    /// Levels of definition; without any, no levels stand before the values.
    max_level: i16,
    /// Rows that the row group still has.
    rows: u64,
}

impl CheckedPages {
    pub fn new(inner: Box<dyn PageReader>, max_level: i16, rows: u64) -> CheckedPages {
        CheckedPages { inner, max_level, rows }
    }

    fn check(&mut self, page: &Page) -> Result<()> {
        let (values, start) = match page {
            // Each value has its length in four bytes before it.
            Page::DictionaryPage { buf, num_values, .. } => {
                return rule(
                    *num_values as usize <= buf.len() / 4,
                    "a dictionary has fewer values than it says",
                );
            }
            Page::DataPage { buf, num_values, def_level_encoding, .. } => {
                (*num_values, self.levels(buf, *num_values, *def_level_encoding))
            }
            Page::DataPageV2 { num_values, def_levels_byte_len, rep_levels_byte_len, .. } => {
                (*num_values, *def_levels_byte_len as usize + *rep_levels_byte_len as usize)
            }
        };
        rule(u64::from(values) <= self.rows, "pages have more rows than their row group")?;
        self.rows -= u64::from(values);
        let counts = delta_counts(page.buffer().get(start..).unwrap_or_default(), page.encoding());
        let counts = counts.ok_or_else(|| ParquetError::EOF("a list of lengths is cut off".into()))?;
        rule(counts.iter().all(|&count| count <= u64::from(values)), "a page has more lengths than values")
    }

    /// Bytes of the levels before the values.
    fn levels(&self, bytes: &[u8], values: u32, encoding: Encoding) -> usize {
        if self.max_level == 0 {
            return 0;
        }
        if encoding == Encoding::RLE {
            let length = bytes.first_chunk().map_or(0, |&length| u32::from_le_bytes(length));
            return 4 + length as usize;
        }
        let width = (self.max_level as u16).ilog2() as usize + 1;
        (values as usize * width).div_ceil(8)
    }
}

fn rule(holds: bool, what: &str) -> Result<()> {
    if holds { Ok(()) } else { Err(ParquetError::General(what.into())) }
}

/// How many lengths the values of an encoding have; none where the bytes end before.
fn delta_counts(values: &[u8], encoding: Encoding) -> Option<Vec<u64>> {
    match encoding {
        Encoding::DELTA_LENGTH_BYTE_ARRAY => Some(vec![delta_list(values)?.0]),
        Encoding::DELTA_BYTE_ARRAY => {
            let (prefixes, end) = delta_list(values)?;
            Some(vec![prefixes, delta_list(values.get(end..)?)?.0])
        }
        _ => Some(Vec::new()),
    }
}

/// Count and bytes of a list of whole numbers that are stored as differences.
///
/// <https://parquet.apache.org/docs/file-format/data-pages/encodings/#delta-encoding-delta_binary_packed--5>
fn delta_list(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut at = 0;
    let block = varint(bytes, &mut at)?;
    let parts = varint(bytes, &mut at)?;
    let count = varint(bytes, &mut at)?;
    varint(bytes, &mut at)?;
    let each = block.checked_div(parts).filter(|&each| each > 0)?;
    // A decoder makes room for the widths of all parts, also where no block follows.
    usize::try_from(parts).ok().filter(|&parts| parts <= bytes.len())?;
    // The first number stands in the head.
    let mut left = count.saturating_sub(1);
    while left > 0 {
        varint(bytes, &mut at)?;
        let widths = bytes.get(at..at.checked_add(usize::try_from(parts).ok()?)?)?;
        at += widths.len();
        for &width in widths {
            if left == 0 {
                break;
            }
            let size = usize::try_from(each.checked_mul(u64::from(width))?.div_ceil(8)).ok()?;
            at = at.checked_add(size).filter(|&end| end <= bytes.len())?;
            left = left.saturating_sub(each);
        }
    }
    Some((count, at))
}

fn varint(bytes: &[u8], at: &mut usize) -> Option<u64> {
    thrift::varint(|| {
        let byte = *bytes.get(*at)?;
        *at += 1;
        Some(byte)
    })
}

impl Iterator for CheckedPages {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Result<Page>> {
        self.get_next_page().transpose()
    }
}

impl PageReader for CheckedPages {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        let page = self.inner.get_next_page()?;
        page.iter().try_for_each(|page| self.check(page))?;
        Ok(page)
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.inner.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.inner.skip_next_page()
    }

    fn at_record_boundary(&mut self) -> Result<bool> {
        self.inner.at_record_boundary()
    }
}

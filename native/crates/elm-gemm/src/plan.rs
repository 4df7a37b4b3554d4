//! How a product is cut, by its shape alone.

/// Steps of a block along `k`. A panel of `A` of that depth fits the first cache, a few panels of both the second.
const DEPTH: usize = 384;
/// Rows and columns of a block, whose panels several tasks share through the last cache.
const ROWS: usize = 2048;
const COLUMNS: usize = 1024;
/// Panels of `A` in a task: they stay in the second cache while the panels of `B` pass by.
const PANELS: usize = 8;
/// Tasks to aim at, so that a few cores end together.
const TASKS: usize = 8;
/// Multiply-adds below which handing out a task costs more than it saves.
const SMALLEST_WORK: usize = 192 * 1024;
/// Words that one task packs.
const PACKED: usize = 64 * 1024;

/// Equal parts of a length, the last one shorter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Split {
    pub len: usize,
    pub part: usize,
}

impl Split {
    /// Parts of at most `most`, nearly equal, each but the last a multiple of `unit`.
    pub fn even(len: usize, most: usize, unit: usize) -> Split {
        let parts = len.div_ceil(most).max(1);
        Split { len, part: len.div_ceil(parts).next_multiple_of(unit).max(unit) }
    }

    pub fn count(self) -> usize {
        self.len.div_ceil(self.part)
    }

    pub fn range(self, index: usize) -> std::ops::Range<usize> {
        index * self.part..((index + 1) * self.part).min(self.len)
    }

    pub fn ranges(self) -> impl Iterator<Item = std::ops::Range<usize>> {
        (0..self.count()).map(move |index| self.range(index))
    }
}

/// The blocks of a product, each packed as a whole.
#[derive(Clone, Copy, Debug)]
pub struct Blocks {
    pub rows: Split,
    pub columns: Split,
    pub depth: Split,
}

impl Blocks {
    /// `words` per element of `k` are packed, `rows` and `columns` lines in a panel. The depth depends on `k` alone:
    /// it is the one cut that shows in the bits of a result.
    pub fn of([m, n, k]: [usize; 3], [rows, columns]: [usize; 2], elements_per_word: usize) -> Blocks {
        Blocks {
            rows: Split::even(m, ROWS, rows),
            columns: Split::even(n, COLUMNS, columns),
            depth: Split::even(k, DEPTH * elements_per_word, elements_per_word),
        }
    }
}

/// The tasks that multiply a block: a grid over its panels.
#[derive(Clone, Copy, Debug)]
pub struct Grid {
    pub down: Split,
    pub across: Split,
}

impl Grid {
    /// `work` multiply-adds in the product of two panels. Where the columns are cut, they are cut into an even number
    /// of parts: two or four cores then get as much of each row of tasks, whose last one is smaller.
    pub fn of(down: usize, across: usize, work: usize) -> Grid {
        let most = (down * across * work / SMALLEST_WORK).clamp(1, TASKS);
        let rows = Split::even(down, PANELS.min(down.div_ceil(most)), 1);
        let parts = most.div_ceil(rows.count()).next_multiple_of(2);
        let parts = if most == 1 { 1 } else { parts.min(across) };
        Grid { down: rows, across: Split::even(across, across.div_ceil(parts), 1) }
    }

    pub fn tasks(self) -> usize {
        self.down.count() * self.across.count()
    }
}

/// Panels that one task packs, `words` in each.
pub fn packing(panels: usize, words: usize) -> Split {
    Split::even(panels, (PACKED / words.max(1)).max(1), 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_a_length_without_a_small_rest() {
        for (len, most, unit) in
            [(1, 384, 1), (384, 384, 1), (385, 384, 2), (1280, 384, 1), (37, 8, 1), (0, 8, 1)]
        {
            let split = Split::even(len, most, unit);
            assert_eq!(split.ranges().map(|range| range.len()).sum::<usize>(), len);
            assert!(split.part <= most.next_multiple_of(unit), "{split:?}");
        }
        assert_eq!(Split::even(385, 384, 1), Split { len: 385, part: 193 });
    }

    #[test]
    fn the_depth_depends_on_k_alone() {
        let of = |m, n| Blocks::of([m, n, 1280], [14, 32], 1).depth;
        assert!([(17, 5), (512, 7680), (4096, 1)].into_iter().all(|(m, n)| of(m, n) == of(64, 64)));
    }

    #[test]
    fn small_products_are_one_task_and_large_ones_many() {
        assert_eq!(Grid::of(5, 2, 14 * 32 * 64).tasks(), 1);
        for [m, n, k] in
            [[512, 1536, 384], [17, 7680, 384], [2048, 768, 192], [768, 192, 384], [1024, 1024, 342]]
        {
            let grid = Grid::of(usize::div_ceil(m, 14), usize::div_ceil(n, 32), 14 * 32 * k);
            assert!((6..80).contains(&grid.tasks()), "{m}×{n}×{k}: {grid:?}");
        }
    }
}

/// Where a matrix lies: element `[i, j]` at `start + i·rows + j·columns`, in elements.
///
/// It carries no sizes and no lifetime; functions that follow the address say what must hold.
#[derive(Debug)]
pub struct Matrix<T> {
    pub start: *mut T,
    pub rows: isize,
    pub columns: isize,
}

impl<T> Clone for Matrix<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Matrix<T> {}

// SAFETY: a matrix is an address and two steps; those who follow it from several threads split the elements.
unsafe impl<T: Send> Send for Matrix<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Matrix<T> {}

impl<T> Matrix<T> {
    /// Rows of `width` elements behind each other.
    pub fn row_major(start: *mut T, width: usize) -> Matrix<T> {
        Matrix { start, rows: width as isize, columns: 1 }
    }

    pub fn at_row(self, row: usize) -> Matrix<T> {
        Matrix { start: self.at(row, 0), ..self }
    }

    pub fn at_column(self, column: usize) -> Matrix<T> {
        Matrix { start: self.at(0, column), ..self }
    }

    pub fn transposed(self) -> Matrix<T> {
        Matrix { start: self.start, rows: self.columns, columns: self.rows }
    }

    /// The address of element `[row, column]`, which need not exist.
    #[inline(always)]
    pub fn at(self, row: usize, column: usize) -> *mut T {
        self.start.wrapping_offset(row as isize * self.rows + column as isize * self.columns)
    }

    /// The same place under another element type; who reads it vouches for the type.
    pub fn cast<U>(self) -> Matrix<U> {
        Matrix { start: self.start.cast(), rows: self.rows, columns: self.columns }
    }
}

use std::sync::{Arc, OnceLock};

use elm_core::OpError;

/// Whether the data of a storage can be trusted.
///
/// A command that fails sets the error in all it would have written; whatever reads from there inherits it.
#[derive(Default)]
pub struct Cell(OnceLock<Arc<OpError>>);

impl Cell {
    pub fn poison(&self, error: &Arc<OpError>) {
        // The first error is the cause; later ones follow from it.
        let _ = self.0.set(Arc::clone(error));
    }

    pub fn error(&self) -> Option<&Arc<OpError>> {
        self.0.get()
    }
}

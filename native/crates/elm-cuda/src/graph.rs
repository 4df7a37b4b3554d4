//! Work that is submitted many times as one piece.

use crate::Gpu;
use crate::driver::{Result, check, sys};

/// Kernels and copies with their addresses and arguments, ready to run.
pub struct Graph(sys::CUgraphExec);

// SAFETY: a handle of the driver; runs are submitted from one thread at a time.
unsafe impl Send for Graph {}
// SAFETY: as above.
unsafe impl Sync for Graph {}

impl Gpu {
    /// Notes what `body` submits instead of running it.
    pub fn capture<E>(
        &self,
        body: impl FnOnce() -> std::result::Result<(), E>,
    ) -> Result<std::result::Result<Graph, E>> {
        self.bind();
        // Other threads may allocate and wait meanwhile; only this one submits.
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_RELAXED;
        // SAFETY: a live stream.
        check(unsafe { sys::cuStreamBeginCapture_v2(self.stream, mode) }, "to begin a capture")?;
        let outcome = body();
        let (mut graph, mut ready) = (std::ptr::null_mut(), std::ptr::null_mut());
        // SAFETY: ends what was begun above, and writes one handle.
        let ended =
            check(unsafe { sys::cuStreamEndCapture(self.stream, &raw mut graph) }, "to end a capture");
        if let Err(error) = outcome {
            // SAFETY: nobody else has the graph.
            unsafe { sys::cuGraphDestroy(graph) };
            return Ok(Err(error));
        }
        ended?;
        // SAFETY: a whole graph; it may go once it has been made ready.
        let status = unsafe {
            let status = sys::cuGraphInstantiateWithFlags(&raw mut ready, graph, 0);
            sys::cuGraphDestroy(graph);
            status
        };
        check(status, "to prepare a graph")?;
        Ok(Ok(Graph(ready)))
    }

    /// Submits all that a graph holds.
    pub fn replay(&self, graph: &Graph) -> Result<()> {
        self.bind();
        // SAFETY: live handles; the memory that the graph names belongs to whoever keeps the graph.
        check(unsafe { sys::cuGraphLaunch(graph.0, self.stream) }, "to run a graph")
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        // SAFETY: the last use of the handle; the driver lets a run that is under way end first.
        unsafe { sys::cuGraphExecDestroy(self.0) };
    }
}

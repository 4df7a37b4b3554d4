use crate::{Arity, Attr, Attrs, DType, ErrorCode, Layout, OpDef, OpError, Shape, TensorSpec};

/// One input as the shape rule sees it.
#[derive(Clone, Copy)]
pub struct Arg<'a> {
    pub dtype: DType,
    pub layout: &'a Layout,
}

impl Arg<'_> {
    #[inline]
    pub fn spec(&self) -> TensorSpec {
        TensorSpec::new(self.dtype, &self.layout.shape)
    }
}

/// A call before anything is allocated: what shape rules read, and how they refuse.
pub struct Infer<'a> {
    pub op: &'static OpDef,
    pub inputs: &'a [Option<Arg<'a>>],
    pub attrs: &'a Attrs,
}

impl<'a> Infer<'a> {
    /// Checks presence of the inputs and the dtypes against the signatures.
    #[inline]
    pub fn check(&self) -> Result<(), OpError> {
        let (fixed, got) = (self.op.fixed_inputs(), self.inputs.len());
        let lists = self.op.inputs.len() - fixed;
        if got < fixed || (lists == 0 && got > fixed) || (lists > 0 && (got - fixed) % lists != 0) {
            let more = if lists > 0 { format!(" and {lists} lists of one length") } else { String::new() };
            let message = format!("takes {fixed} tensors{more}, got {got}");
            return Err(OpError::new(ErrorCode::InvalidArgument, self.op.name, message));
        }
        for (position, input) in self.inputs.iter().enumerate() {
            let def = self.op.input_at(position, got);
            if input.is_none() && def.arity != Arity::Optional {
                return Err(self.error(ErrorCode::InvalidArgument, format!("{} is missing", def.name)));
            }
        }
        if !self.op.signatures.is_empty()
            && !self.op.accepts(self.inputs.iter().map(|arg| arg.map(|a| a.dtype)))
        {
            return Err(self.dtype_error());
        }
        Ok(())
    }

    fn dtype_error(&self) -> OpError {
        let mut options: Vec<String> = self
            .op
            .signatures
            .iter()
            .map(|s| s.iter().map(|d| d.name()).collect::<Vec<_>>().join(", "))
            .map(|s| format!("({s})"))
            .collect();
        options.dedup();
        self.error(
            ErrorCode::DtypeMismatch,
            format!("no kernel takes these dtypes; it takes {}; cast with to(dtype)", options.join(" ")),
        )
    }

    pub fn error(&self, code: ErrorCode, message: impl Into<String>) -> OpError {
        let inputs = self
            .inputs
            .iter()
            .enumerate()
            .filter_map(|(i, arg)| arg.map(|arg| (self.op.input_at(i, self.inputs.len()).name, arg.spec())))
            .collect();
        OpError { code, op: self.op.name, message: message.into(), inputs }
    }

    pub fn shape_error(&self, message: impl Into<String>) -> OpError {
        self.error(ErrorCode::ShapeMismatch, message)
    }

    #[inline]
    pub fn arg(&self, position: usize) -> Arg<'a> {
        self.inputs[position].expect("check() has seen to it that the input is present")
    }

    #[inline]
    pub fn optional(&self, position: usize) -> Option<Arg<'a>> {
        self.inputs.get(position).copied().flatten()
    }

    /// The tensors of the list that is input `index` of the schema.
    pub fn list(&self, index: usize) -> &'a [Option<Arg<'a>>] {
        &self.inputs[self.op.input_range(index, self.inputs.len())]
    }

    #[inline]
    pub fn shape(&self, position: usize) -> &'a [usize] {
        &self.arg(position).layout.shape
    }

    #[inline]
    pub fn dtype(&self, position: usize) -> DType {
        self.arg(position).dtype
    }

    fn name(&self, position: usize) -> &'static str {
        self.op.input_at(position, self.inputs.len()).name
    }

    /// The size of the last axis of an input of at least one axis.
    pub fn last_dim(&self, position: usize) -> Result<usize, OpError> {
        self.shape(position)
            .last()
            .copied()
            .ok_or_else(|| self.shape_error(format!("{} must have at least one axis", self.name(position))))
    }

    pub fn require_rank(&self, position: usize, rank: usize) -> Result<(), OpError> {
        let got = self.shape(position).len();
        if got == rank {
            return Ok(());
        }
        Err(self.shape_error(format!("{} must have {rank} axes, got {got}", self.name(position))))
    }

    /// `why` names where the wanted shape comes from, for example "the last axis of x".
    pub fn require_shape(&self, position: usize, shape: &[usize], why: &str) -> Result<(), OpError> {
        let got = self.shape(position);
        if got == shape {
            return Ok(());
        }
        Err(self
            .shape_error(format!("{} must have shape {shape:?} ({why}), got {got:?}", self.name(position))))
    }

    pub fn require_dtype(&self, position: usize, dtype: DType) -> Result<(), OpError> {
        let got = self.dtype(position);
        if got == dtype {
            return Ok(());
        }
        let message =
            format!("{} must be {dtype}, got {got}; cast with to(\"{dtype}\")", self.name(position));
        Err(self.error(ErrorCode::DtypeMismatch, message))
    }

    /// The broadcast shape of the inputs at `positions`.
    #[inline]
    pub fn broadcast(&self, positions: &[usize]) -> Result<Shape, OpError> {
        self.broadcast_shapes(positions.iter().map(|&position| self.shape(position)))
    }

    /// The broadcast shape of all inputs, none of which may be absent.
    #[inline]
    pub fn broadcast_all(&self) -> Result<Shape, OpError> {
        self.broadcast_shapes((0..self.inputs.len()).map(|position| self.shape(position)))
    }

    #[inline]
    fn broadcast_shapes<'s>(
        &self,
        shapes: impl Iterator<Item = &'s [usize]> + Clone,
    ) -> Result<Shape, OpError> {
        let first = shapes.clone().next().unwrap_or_default();
        if shapes.clone().all(|shape| shape == first) {
            return Ok(Shape::from_slice(first));
        }
        let rank = shapes.clone().map(<[usize]>::len).max().unwrap_or(0);
        let mut out = Shape::from_elem(1, rank);
        for shape in shapes {
            let lead = rank - shape.len();
            for (axis, &dim) in shape.iter().enumerate() {
                let slot = &mut out[lead + axis];
                if *slot == 1 {
                    *slot = dim;
                } else if dim != 1 && dim != *slot {
                    return Err(self.shape_error(format!(
                        "shapes cannot be broadcast together: axis {} is {} and {dim}; each axis must be equal or 1",
                        axis as isize - shape.len() as isize,
                        *slot
                    )));
                }
            }
        }
        Ok(out)
    }

    pub fn axis(&self, name: &str, rank: usize) -> Result<usize, OpError> {
        self.check_axis(name, self.attrs.int(name), rank)
    }

    /// The axes as a mask over `rank`; all when absent. Refuses repeated and out-of-range axes.
    pub fn axes(&self, name: &str, rank: usize) -> Result<smallvec::SmallVec<[bool; 8]>, OpError> {
        if let Attr::Ints(list) = self.attrs.get(name) {
            let mut seen = smallvec::SmallVec::<[bool; 8]>::from_elem(false, rank);
            for &axis in list {
                let axis = self.check_axis(name, axis, rank)?;
                if std::mem::replace(&mut seen[axis], true) {
                    return Err(self.error(ErrorCode::InvalidArgument, format!("{name} names {axis} twice")));
                }
            }
        }
        Ok(self.attrs.axes(name, rank))
    }

    fn check_axis(&self, name: &str, axis: i64, rank: usize) -> Result<usize, OpError> {
        let wrapped = if axis < 0 { axis + rank as i64 } else { axis };
        if (0..rank as i64).contains(&wrapped) {
            return Ok(wrapped as usize);
        }
        Err(self.error(
            ErrorCode::InvalidArgument,
            format!(
                "{name} {axis} is out of range for {rank} axes (allowed: {} to {})",
                -(rank as i64),
                rank as i64 - 1
            ),
        ))
    }

    /// A list of sizes that are not negative.
    pub fn dims(&self, name: &str) -> Result<Shape, OpError> {
        self.attrs
            .ints(name)
            .iter()
            .map(|&dim| {
                usize::try_from(dim).map_err(|_| {
                    self.error(
                        ErrorCode::InvalidArgument,
                        format!("{name} must not hold negative sizes, got {dim}"),
                    )
                })
            })
            .collect()
    }
}

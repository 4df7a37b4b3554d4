//! How a call lies in the arena. All words are f64; docs/architecture.md has the same table.
//!
//! ```text
//! call:    [inputs, wanted, device, id …, attribute …]
//!          an absent input is 0; an optional attribute is preceded by 0 or 1; a list by its length
//! result:  [device, then for each output: id, dtype, bytes of its storage, axes, dim …]
//!          an output that was not wanted is the id 0
//! ```

use elm_core::{Attr, AttrDef, AttrKind, Attrs, DType, Default, ErrorCode, Ints, OpDef, OpError};
use elm_engine::{DeviceId, Env, Handle, META};
use smallvec::SmallVec;

pub struct Decoded {
    pub inputs: SmallVec<[Option<Handle>; 8]>,
    pub attrs: Attrs,
    pub device: DeviceId,
    pub wanted: u32,
}

struct Reader<'a> {
    words: &'a [f64],
    at: usize,
    op: &'static OpDef,
}

impl Reader<'_> {
    #[inline]
    fn word(&mut self) -> Result<f64, OpError> {
        let word = self.words.get(self.at).copied();
        self.at += 1;
        word.ok_or_else(|| OpError::new(ErrorCode::Internal, self.op.name, "the call is cut off"))
    }

    fn bad(&self, def: &AttrDef, what: &str) -> OpError {
        OpError::new(ErrorCode::InvalidArgument, self.op.name, format!("{} must be {what}", def.name))
    }

    fn int(&mut self, def: &AttrDef) -> Result<i64, OpError> {
        let word = self.word()?;
        if word.fract() == 0.0 && word.abs() <= 9_007_199_254_740_992.0 {
            return Ok(word as i64);
        }
        Err(self.bad(def, &format!("a whole number of at most 2⁵³, got {word}")))
    }

    fn attr(&mut self, def: &AttrDef) -> Result<Attr, OpError> {
        if def.default == Default::Absent && self.word()? == 0.0 {
            return Ok(Attr::Absent);
        }
        Ok(match def.kind {
            AttrKind::F64 => Attr::F64(self.word()?),
            AttrKind::Int | AttrKind::Axis => Attr::Int(self.int(def)?),
            AttrKind::Bool => Attr::Bool(self.word()? != 0.0),
            AttrKind::DType => {
                let index = self.word()?;
                Attr::DType(DType::from_index(index as usize).ok_or_else(|| self.bad(def, "a dtype"))?)
            }
            AttrKind::Choice(names) => {
                let index = self.word()? as usize;
                if index >= names.len() {
                    return Err(self.bad(def, &format!("one of {}", names.join(", "))));
                }
                Attr::Choice(index)
            }
            AttrKind::Ints | AttrKind::Axes => {
                let len = self.word()?;
                Attr::Ints((0..len as usize).map(|_| self.int(def)).collect::<Result<Ints, _>>()?)
            }
        })
    }
}

pub fn decode(op: &'static OpDef, words: &[f64]) -> Result<Decoded, OpError> {
    let mut reader = Reader { words, at: 0, op };
    let count = reader.word()? as usize;
    let wanted = reader.word()? as u32;
    let device = reader.word()? as u32;
    let mut inputs = SmallVec::new();
    for _ in 0..count {
        let id = reader.word()?;
        inputs.push((id != 0.0).then_some(id as Handle));
    }
    let mut values = SmallVec::new();
    for def in op.attrs {
        values.push(reader.attr(def)?);
    }
    Ok(Decoded { inputs, attrs: Attrs { defs: op.attrs, values }, device, wanted })
}

/// Writes the tensors of a result.
pub fn encode(
    env: &Env,
    outputs: impl IntoIterator<Item = Option<Handle>>,
    words: &mut [f64],
) -> Result<(), OpError> {
    let (mut at, mut device) = (1, META);
    for output in outputs {
        let Some(handle) = output else {
            words[at] = 0.0;
            at += 1;
            continue;
        };
        let tensor = env.get(handle)?;
        if at + 4 + tensor.layout.rank() > words.len() {
            return Err(OpError::new(ErrorCode::Internal, "dispatch", "the results do not fit the arena"));
        }
        device = tensor.device();
        words[at] = handle as f64;
        words[at + 1] = f64::from(tensor.dtype as u8);
        words[at + 2] = tensor.storage.as_ref().map_or(0, |storage| storage.bytes) as f64;
        words[at + 3] = tensor.layout.rank() as f64;
        for (word, &dim) in words[at + 4..].iter_mut().zip(&tensor.layout.shape) {
            *word = dim as f64;
        }
        at += 4 + tensor.layout.rank();
    }
    words[0] = f64::from(device);
    Ok(())
}

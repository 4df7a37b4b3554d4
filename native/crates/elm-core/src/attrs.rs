use smallvec::SmallVec;

use crate::DType;

pub type Ints = SmallVec<[i64; 4]>;

/// The type of an attribute, which decides how it crosses from JavaScript and how it is written there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AttrKind {
    /// A number; may be infinite or NaN.
    F64,
    /// An integer of at most 2⁵³.
    Int,
    Bool,
    /// A list of integers, such as a shape.
    Ints,
    /// One axis, negative counts from the end.
    Axis,
    /// One axis, several, or (absent) all.
    Axes,
    DType,
    /// One of the names.
    Choice(&'static [&'static str]),
}

/// The value of an attribute in one call.
#[derive(Clone, Debug, PartialEq)]
pub enum Attr {
    F64(f64),
    Int(i64),
    Bool(bool),
    Ints(Ints),
    DType(DType),
    Choice(usize),
    /// An optional attribute that was not given.
    Absent,
}

/// What a missing attribute stands for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Default {
    /// It must be given.
    Required,
    F64(f64),
    Int(i64),
    Bool(bool),
    DType(DType),
    Choice(usize),
    /// It may be missing and the op decides.
    Absent,
}

/// One attribute of an op.
#[derive(Clone, Copy, Debug)]
pub struct AttrDef {
    pub name: &'static str,
    pub kind: AttrKind,
    pub default: Default,
    /// Written as an argument of its own in JavaScript (`reshape(x, shape)`), not in the options.
    pub positional: bool,
    pub doc: &'static str,
}

/// Short forms that read well in a schema.
pub mod attr {
    use super::{AttrDef, AttrKind, DType, Default};

    pub const fn new(name: &'static str, kind: AttrKind, default: Default, doc: &'static str) -> AttrDef {
        AttrDef { name, kind, default, positional: false, doc }
    }
    pub const fn f64(name: &'static str, default: f64, doc: &'static str) -> AttrDef {
        new(name, AttrKind::F64, Default::F64(default), doc)
    }
    pub const fn int(name: &'static str, default: i64, doc: &'static str) -> AttrDef {
        new(name, AttrKind::Int, Default::Int(default), doc)
    }
    pub const fn bool(name: &'static str, default: bool, doc: &'static str) -> AttrDef {
        new(name, AttrKind::Bool, Default::Bool(default), doc)
    }
    pub const fn axis(name: &'static str, default: i64, doc: &'static str) -> AttrDef {
        new(name, AttrKind::Axis, Default::Int(default), doc)
    }
    pub const fn axes(name: &'static str, doc: &'static str) -> AttrDef {
        new(name, AttrKind::Axes, Default::Absent, doc)
    }
    pub const fn dtype(name: &'static str, default: DType, doc: &'static str) -> AttrDef {
        new(name, AttrKind::DType, Default::DType(default), doc)
    }
    pub const fn choice(name: &'static str, names: &'static [&'static str], doc: &'static str) -> AttrDef {
        new(name, AttrKind::Choice(names), Default::Choice(0), doc)
    }
    /// A required attribute written as an argument of its own.
    pub const fn positional(name: &'static str, kind: AttrKind, doc: &'static str) -> AttrDef {
        AttrDef { name, kind, default: Default::Required, positional: true, doc }
    }
    pub const fn required(name: &'static str, kind: AttrKind, doc: &'static str) -> AttrDef {
        new(name, kind, Default::Required, doc)
    }
}

/// The attributes of one call, in the order of the schema.
#[derive(Clone, Debug)]
pub struct Attrs {
    pub defs: &'static [AttrDef],
    pub values: SmallVec<[Attr; 4]>,
}

impl Attrs {
    /// An attribute that the schema does not name is a mistake of the op's author, not of a caller.
    pub fn get(&self, name: &str) -> &Attr {
        let position = self.defs.iter().position(|def| def.name == name);
        &self.values[position.unwrap_or_else(|| panic!("the schema has no attribute {name:?}"))]
    }

    pub fn f64(&self, name: &str) -> f64 {
        match self.get(name) {
            Attr::F64(v) => *v,
            other => panic!("attribute {name:?} is {other:?}, not a number"),
        }
    }

    pub fn int(&self, name: &str) -> i64 {
        match self.get(name) {
            Attr::Int(v) => *v,
            other => panic!("attribute {name:?} is {other:?}, not an integer"),
        }
    }

    pub fn bool(&self, name: &str) -> bool {
        matches!(self.get(name), Attr::Bool(true))
    }

    pub fn ints(&self, name: &str) -> &[i64] {
        match self.get(name) {
            Attr::Ints(v) => v,
            other => panic!("attribute {name:?} is {other:?}, not a list"),
        }
    }

    pub fn dtype(&self, name: &str) -> DType {
        match self.get(name) {
            Attr::DType(v) => *v,
            other => panic!("attribute {name:?} is {other:?}, not a dtype"),
        }
    }

    /// Position of the chosen name in the schema's list.
    pub fn choice(&self, name: &str) -> usize {
        match self.get(name) {
            Attr::Choice(v) => *v,
            other => panic!("attribute {name:?} is {other:?}, not a choice"),
        }
    }

    pub fn is_given(&self, name: &str) -> bool {
        !matches!(self.get(name), Attr::Absent)
    }

    /// An axis of a tensor of `rank` axes, already checked by [`crate::Infer::axis`].
    pub fn axis(&self, name: &str, rank: usize) -> usize {
        wrap(self.int(name), rank)
    }

    /// The axes as a mask; all when absent. Already checked by [`crate::Infer::axes`].
    pub fn axes(&self, name: &str, rank: usize) -> SmallVec<[bool; 8]> {
        match self.get(name) {
            Attr::Ints(list) => {
                let mut mask = SmallVec::from_elem(false, rank);
                list.iter().for_each(|&axis| mask[wrap(axis, rank)] = true);
                mask
            }
            _ => SmallVec::from_elem(true, rank),
        }
    }
}

fn wrap(axis: i64, rank: usize) -> usize {
    if axis < 0 { (axis + rank as i64) as usize } else { axis as usize }
}

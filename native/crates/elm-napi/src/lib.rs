//! The one addon: converts types between JavaScript and the crates, computes nothing.

mod data;
mod text;

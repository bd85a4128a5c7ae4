//! The rules of the house that no compiler checks, as tests. Each failure says what is wrong where, and why that
//! matters.

#![allow(clippy::unwrap_used, reason = "a source tree that cannot be read is a test that fails")]

mod layers;
mod length;
mod pages;
mod purity;
mod rust;
mod tree;
mod words;

/// Fails with all complaints at once, and the reason behind the rule.
fn verdict(complaints: Vec<String>, why: &str) {
    assert!(complaints.is_empty(), "\n{}\n\nWhy: {why}\n", complaints.join("\n"));
}

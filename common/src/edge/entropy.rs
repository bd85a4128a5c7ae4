//! Real randomness, for incarnations and for the seeds of everything else.

use thiserror::Error;

/// The system gave no random bits.
#[derive(Clone, Debug, Error)]
#[error("the system's random generator does not answer: {0}")]
pub struct NoEntropy(String);

/// 64 bits that nobody can guess or has drawn before.
pub fn random_u64() -> Result<u64, NoEntropy> {
    getrandom::u64().map_err(|error| NoEntropy(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_draws_differ() {
        assert_ne!(random_u64().unwrap(), random_u64().unwrap());
    }
}

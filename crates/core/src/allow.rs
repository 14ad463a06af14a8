//! What may be dialled when a key carries an address: one pure function and its rules.

/// What a key may reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allow {
    /// Nothing that comes as an address from a key.
    Nothing,
    /// Targets that match any of these rules.
    Rules(Vec<Rule>),
    /// A target may be no more private than its client (the seed's form without `allow`).
    NoMorePrivate,
}

/// One line of `allow`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {}

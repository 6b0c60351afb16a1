//! What identity answers beside its models.

pub(crate) mod enrolment;
pub(crate) mod me;
pub(crate) mod token;

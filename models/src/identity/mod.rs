//! What the identity service owns: who may do what.

pub mod api_key;
pub mod enrolment;
pub mod grant;
pub mod group;
pub mod group_member;
pub mod join_secret;
pub mod join_token;
pub mod key_secret;
pub mod project;
pub mod quota;
pub mod revocation;
pub mod secret;
pub mod token;
pub mod token_key;
pub mod user;

pub use api_key::ApiKey;
pub use enrolment::{Certificate, CertificateRequest, Enrolment, EnrolmentRequest, SiteAuthority};
pub use grant::Grant;
pub use group::Group;
pub use group_member::GroupMember;
pub use join_secret::JoinSecret;
pub use join_token::JoinToken;
pub use key_secret::KeySecret;
pub use project::Project;
pub use quota::{Quota, Resource, Share};
pub use revocation::Revocation;
pub use secret::Secret;
pub use token_key::TokenKey;
pub use user::User;

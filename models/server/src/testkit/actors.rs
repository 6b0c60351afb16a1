//! Who calls in tests: one key that signs their tokens, and a few people with fixed roles.

use crate::{
    owner::Running,
    testkit::Server,
    token::{Claims, Jwks, LIFETIME_S, SigningKey, Verifier},
};
use cirro_models::{
    Context, Id, Role, Subject, Timestamp,
    compute::Node,
    identity::{Project, Secret, User},
    subject::Principal,
};
use std::sync::Arc;
use uuid::Uuid;

/// The people of a test site, and the key that their tokens are signed with. Their ids are the same in every test.
pub struct Actors {
    key: SigningKey,
    /// Trusts the key.
    pub verifier: Arc<Verifier>,
    /// The project that most of them work in.
    pub project: Id<Project>,
    /// The outsider's project.
    pub elsewhere: Id<Project>,
}

/// Somebody who calls.
#[derive(Debug, Clone)]
pub struct Actor {
    /// What the token says.
    pub claims: Claims,
    /// The signed token.
    pub token: Secret,
    subject: Subject,
}

const fn uuid(n: u128) -> Uuid {
    // version 7 and the RFC's variant, so that they look like any other id
    Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + n)
}

impl Default for Actors {
    fn default() -> Self {
        Self::new()
    }
}

impl Actors {
    /// The people, with a new key.
    pub fn new() -> Self {
        crate::db::begin_openssl();
        let key = SigningKey::generate().expect("no key can be made");
        let verifier = Verifier::default();
        let (project, elsewhere) = (Id::from_uuid(uuid(1)), Id::from_uuid(uuid(2)));
        let actors = Self { key, verifier: Arc::new(verifier), project, elsewhere };
        actors.verifier.trust(&actors.jwks()).expect("the key can be trusted");
        actors
    }
    /// The public key of their tokens, for another verifier.
    pub fn jwks(&self) -> Jwks {
        Jwks { keys: vec![self.key.jwk().expect("the key has a public half")] }
    }
    /// Runs the site; works in the project too.
    pub fn operator(&self) -> Actor {
        self.user(11, Some((self.project, Role::Operator)), true)
    }
    /// May grant roles in the project.
    pub fn admin(&self) -> Actor {
        self.user(12, Some((self.project, Role::Admin)), false)
    }
    /// Creates, changes and deletes in the project.
    pub fn member(&self) -> Actor {
        self.user(13, Some((self.project, Role::Member)), false)
    }
    /// Reads in the project.
    pub fn viewer(&self) -> Actor {
        self.user(14, Some((self.project, Role::Viewer)), false)
    }
    /// A member of another project.
    pub fn outsider(&self) -> Actor {
        self.user(15, Some((self.elsewhere, Role::Member)), false)
    }
    /// A person without any project.
    pub fn stranger(&self) -> Actor {
        self.user(16, None, false)
    }
    /// The agent of a node.
    pub fn node(&self) -> Actor {
        self.node_of(Id::from_uuid(uuid(21)))
    }
    /// The agent of this node.
    pub fn node_of(&self, node: Id<Node>) -> Actor {
        self.sign(self.claims(&Principal::Node(node), None, false))
    }
    /// A user with a number from 0 to 99 for an id.
    pub fn user(&self, n: u8, role: Option<(Id<Project>, Role)>, operator: bool) -> Actor {
        self.sign(self.claims(&Principal::User(Id::<User>::from_uuid(uuid(u128::from(n)))), role, operator))
    }
    /// What a token says that is good from now on.
    pub fn claims(&self, principal: &Principal, role: Option<(Id<Project>, Role)>, operator: bool) -> Claims {
        let now = Timestamp::now().micros();
        let (project, role) = role.unzip();
        let sub = principal.to_string();
        let (iat, jti) = (now / 1_000_000, Uuid::now_v7().to_string());
        Claims {
            root: sub.clone(),
            sub,
            project,
            role,
            operator,
            scoped: false,
            iat,
            iat_us: now,
            exp: iat + LIFETIME_S,
            jti,
        }
    }
    /// Somebody whom these claims describe, be they good or not.
    pub fn sign(&self, claims: Claims) -> Actor {
        let token = Secret::new(self.key.sign(&claims).expect("the key signs"));
        let principal = claims.sub.parse().expect("the claims name a principal");
        let role = claims.project.zip(claims.role.clone());
        let end = Timestamp::from_micros(claims.exp.saturating_mul(1_000_000));
        let subject = Subject::verified(principal, role, claims.operator, claims.scoped, Some(end));
        Actor { claims, token, subject }
    }
}

impl Actor {
    /// Who it is.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }
    /// A request of this actor inside a service, as its routes would make it.
    pub fn inside(&self, running: &Running) -> Context {
        let id = Uuid::now_v7().to_string();
        Context::verified(running.stores.clone(), self.subject.clone(), Some(self.token.clone()), id)
    }
    /// A request of this actor over HTTP.
    pub fn over(&self, server: &Server) -> Context {
        cirro_client::context(server.http.clone(), Some(self.token.clone()))
    }
}

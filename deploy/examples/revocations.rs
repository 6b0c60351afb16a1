//! What a check of a token costs with 100,000 revocations held, beside one with none. `deploy/bench` runs it.

use cirro_models::{Id, Timestamp, identity::User};
use cirro_server::token::{Claims, Jwks, LIFETIME_S, SigningKey, Verifier};
use std::{hint::black_box, time::Instant};

/// Revocations that are held.
const HELD: usize = 100_000;
/// Tokens that are checked, in turn.
const TOKENS: u32 = 1000;
/// Rounds in turn; odd, so that a median is a measurement.
const ROUNDS: usize = 31;
/// Checks of each token in a round.
const CHECKS: u32 = 20;

fn main() -> cirro_models::Result<()> {
    openssl::init();
    let key = SigningKey::generate()?;
    let (few, many) = (Verifier::default(), Verifier::default());
    for verifier in [&few, &many] {
        verifier.trust(&Jwks { keys: vec![key.jwk()?] })?;
    }
    for _ in 0..HELD {
        many.revoke(&format!("user:{}", Id::<User>::new()), Timestamp::now());
    }
    let tokens: Vec<String> = (0..TOKENS).map(|_| key.sign(&claims())).collect::<Result<_, _>>()?;
    let round = |verifier: &Verifier| -> cirro_models::Result<f64> {
        let begun = Instant::now();
        for _ in 0..CHECKS {
            for token in &tokens {
                black_box(verifier.verify(token)?);
            }
        }
        Ok(begun.elapsed().as_secs_f64() * 1e6 / f64::from(CHECKS) / f64::from(TOKENS))
    };
    let mut rounds =
        (0..ROUNDS).map(|_| Ok((round(&few)?, round(&many)?))).collect::<cirro_models::Result<Vec<_>>>()?;
    rounds.sort_by(|a, b| (a.1 / a.0).total_cmp(&(b.1 / b.0)));
    let (without, with) = rounds[ROUNDS / 2];
    println!("check {without:.3} {with:.3} {}", many.revocations());
    Ok(())
}

fn claims() -> Claims {
    let (user, now) = (format!("user:{}", Id::<User>::new()), Timestamp::now().micros());
    Claims {
        sub: user.clone(),
        root: user,
        project: None,
        role: None,
        operator: false,
        scoped: false,
        iat: now / 1_000_000,
        iat_us: now,
        exp: now / 1_000_000 + LIFETIME_S,
        jti: Id::<User>::new().to_string(),
    }
}

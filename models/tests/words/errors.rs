//! A remote error is a local error: every kind goes over the wire and comes back field by field.

use cirro_models::{
    Error,
    problem::{KINDS, Problem, TYPE_PREFIX},
};
use proptest::{prelude::*, strategy::ValueTree};
use std::collections::BTreeSet;

fn some_error() -> impl Strategy<Value = Error> {
    let text = || "[ -~äöü🚤\"\\\\]{0,40}";
    prop_oneof![
        text().prop_map(|detail| Error::Malformed { detail }),
        (text(), text()).prop_map(|(field, detail)| Error::Invalid { field, detail }),
        text().prop_map(|detail| Error::TooLarge { detail }),
        text().prop_map(|detail| Error::Unauthenticated { detail }),
        text().prop_map(|detail| Error::Forbidden { detail }),
        (text(), text()).prop_map(|(kind, id)| Error::NotFound { kind, id }),
        text().prop_map(|detail| Error::Conflict { detail }),
        (text(), text(), any::<i64>()).prop_map(|(kind, id, version)| Error::Stale { kind, id, version }),
        text().prop_map(|detail| Error::Gone { detail }),
        (text(), any::<i64>(), any::<i64>(), any::<i64>()).prop_map(|(resource, limit, used, asked)| Error::Quota {
            resource,
            limit,
            used,
            asked
        }),
        (text(), proptest::collection::vec(text(), 0..3))
            .prop_map(|(detail, reasons)| Error::NoCapacity { detail, reasons }),
        (text(), any::<u32>()).prop_map(|(detail, retry_after_s)| Error::TooManyRequests { detail, retry_after_s }),
        (text(), any::<u32>()).prop_map(|(detail, retry_after_s)| Error::Unavailable { detail, retry_after_s }),
        text().prop_map(|detail| Error::DeadlineExceeded { detail }),
        text().prop_map(Error::internal),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn an_error_comes_back_as_what_it_was(error in some_error()) {
        let wire = serde_json::to_string(&Problem::from(&error)).unwrap();
        let back = Error::from(serde_json::from_str::<Problem>(&wire).unwrap());
        prop_assert_eq!(back.to_string(), error.to_string());
        if matches!(error, Error::Internal { .. }) {
            // its cause stays where it happened
            let internal = matches!(back, Error::Internal { .. });
            prop_assert!(internal);
        } else {
            prop_assert_eq!(format!("{back:?}"), format!("{error:?}"));
        }
    }
}

#[test]
fn every_kind_is_documented_with_its_status() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut seen = BTreeSet::new();
    for _ in 0..2000 {
        let error = some_error().new_tree(&mut runner).unwrap().current();
        let problem = Problem::from(&error);
        seen.insert((problem.kind_of_problem.trim_start_matches(TYPE_PREFIX).to_owned(), problem.status));
    }
    let known: BTreeSet<_> = KINDS.iter().map(|(kind, status)| ((*kind).to_owned(), *status)).collect();
    assert_eq!(seen, known);
}

#[test]
fn the_cause_of_an_internal_error_never_crosses_the_wire() {
    let error = Error::internal("password of the database: hunter2");
    let wire = serde_json::to_string(&Problem::from(&error)).unwrap();
    assert!(!wire.contains("hunter2") && !error.to_string().contains("hunter2"), "{wire}");
    assert!(!format!("{:?}", error.without_source()).contains("hunter2"));
}

#[test]
fn a_problem_of_a_later_release_is_an_internal_error_here() {
    let problem = Problem { kind_of_problem: format!("{TYPE_PREFIX}brand-new"), status: 418, ..Problem::default() };
    assert!(matches!(Error::from(problem), Error::Internal { .. }));
}

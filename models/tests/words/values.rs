//! Names, units, choices, times, ids and positions, from text and back.

use cirro_models::{
    Bytes, Count, Generation, GiB, Id, Labels, MiB, Name, Role, Timestamp, Vcpus,
    choice::{Choice, refusal},
    compute::{
        Node,
        instance::{InstanceStatus, Power},
    },
    feed::Position,
    meta::{check_label_filter, check_labels, patch_labels},
};
use proptest::prelude::*;
use serde_json::json;
use std::collections::BTreeMap;

#[test]
fn names_that_are_good_and_names_that_are_not() {
    for good in ["a", "A", "0", "web-1", "a.b_c", &"n".repeat(63)] {
        assert_eq!(Name::parse(good).unwrap().as_str(), good);
    }
    for bad in ["", "-a", ".a", "_a", "a b", "a/b", "ä", "a\n", "a\0", " a", &"n".repeat(64)] {
        let why = Name::parse(bad).unwrap_err();
        assert!(why.contains("use") && !why.contains('\n') && !why.contains('\0'), "{bad:?}: {why}");
    }
}

proptest! {
    #[test]
    fn a_name_is_what_its_pattern_says(text in "[A-Za-z0-9._ äé/-]{0,70}") {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let good = (1..=63).contains(&text.len()) && text.chars().all(plain) && text.as_bytes()[0].is_ascii_alphanumeric();
        prop_assert_eq!(Name::parse(&text).is_ok(), good);
        prop_assert_eq!(serde_json::from_value::<Name>(json!(text)).is_ok(), good);
    }

    #[test]
    fn a_refused_name_is_told_in_one_short_line(text in ".{64,5000}") {
        let why = Name::parse(&text).unwrap_err();
        prop_assert!(why.len() < 1000);
    }

    #[test]
    fn units_keep_what_is_in_range_and_refuse_the_rest(value: i64) {
        macro_rules! unit { ($($unit:ident)*) => { $(
            let read = serde_json::from_value::<$unit>(json!(value));
            if (0..=$unit::MAX.get()).contains(&value) {
                prop_assert_eq!(read.as_ref().unwrap().get(), value);
                prop_assert_eq!(serde_json::to_value(read.unwrap()).unwrap(), json!(value));
                prop_assert_eq!($unit::new(value).get(), value);
            } else {
                let why = read.unwrap_err().to_string();
                prop_assert!(why.contains("out of range: give a whole number from 0 to"), "{}", why);
            }
            prop_assert!($unit::new(value) <= $unit::MAX && $unit::new(value).next() >= $unit::new(value));
        )* } }
        unit!(MiB GiB Vcpus Count Generation Bytes);
    }

    #[test]
    fn positions_are_read_as_they_were_shown_and_sort_by_transaction_first(
        a in (0..i64::MAX, 0..i64::MAX, 0..i64::MAX), b in (0..i64::MAX, 0..i64::MAX, 0..i64::MAX)
    ) {
        let position = |(epoch, transaction, sequence)| Position { epoch, transaction, sequence };
        prop_assert_eq!(position(a).to_string().parse::<Position>().unwrap(), position(a));
        prop_assert_eq!(position(a).cmp(&position(b)), a.cmp(&b));
    }

    #[test]
    fn text_that_is_no_position_is_refused(text in "[0-9a-fx. -]{0,30}") {
        if let Ok(position) = text.parse::<Position>() {
            prop_assert_eq!(text.matches('.').count(), 2, "{:?}", position);
        }
    }

    #[test]
    fn times_go_over_the_wire_to_the_microsecond(micros in -62_135_596_800_000_000..253_402_300_799_999_999i64) {
        let time = Timestamp::from_micros(micros);
        prop_assert_eq!(serde_json::from_value::<Timestamp>(json!(time.to_string())).unwrap(), time);
        prop_assert_eq!(time.micros(), micros);
    }

    #[test]
    fn labels_are_set_and_removed_key_by_key(
        before: BTreeMap<String, String>, patch: BTreeMap<String, Option<String>>
    ) {
        let mut labels: Labels = before.clone();
        let changed = patch_labels(&mut labels, &patch);
        prop_assert_eq!(changed, labels != before);
        for key in before.keys().chain(patch.keys()) {
            let expected = patch.get(key).cloned().unwrap_or_else(|| before.get(key).cloned());
            prop_assert_eq!(labels.get(key), expected.as_ref());
        }
    }
}

#[test]
fn years_beyond_four_digits_are_refused() {
    for time in ["-0001-01-01T00:00:00Z", "+10000-01-01T00:00:00Z", "0000-01-01T00:00:00Z"] {
        let why = serde_json::from_value::<Timestamp>(json!(time)).unwrap_err().to_string();
        assert!(why.contains("year"), "{time}: {why}");
    }
}

#[test]
fn sizes_in_bytes_do_not_overflow() {
    assert_eq!((GiB::MAX.bytes(), MiB::MAX.bytes()), (1 << 60, 1 << 50));
}

#[test]
fn an_unknown_word_is_refused_with_the_nearest_known_one() {
    for (word, nearest) in [("runing", "running"), ("stoped", "stopped"), ("Running", "running")] {
        assert!(
            refusal::<Power>(word).ends_with(&format!("did you mean \"{nearest}\"?")),
            "{}",
            refusal::<Power>(word)
        );
    }
    assert_eq!(refusal::<Power>("xyz"), "\"xyz\" is not one of running, stopped");
    assert!(refusal::<Power>(&"x".repeat(10_000)).len() < 200);
    assert_eq!(
        "operater".parse::<Role>().unwrap_err().to_string(),
        "Role: \"operater\" is not one of viewer, member, admin, operator; did you mean \"operator\"?"
    );
}

#[test]
fn a_reader_keeps_a_word_that_it_does_not_know() {
    let status: InstanceStatus = serde_json::from_value(json!("migrating")).unwrap();
    assert_eq!(status, InstanceStatus::Unknown("migrating".to_owned()));
    assert_eq!(serde_json::to_value(&status).unwrap(), json!("migrating"));
    assert!(!status.is_known());
    for word in InstanceStatus::WORDS {
        assert!(InstanceStatus::from_word(word).is_known());
        assert_eq!(InstanceStatus::from_word(word).word(), *word);
    }
}

#[test]
fn labels_that_are_not_usable_are_named() {
    let check = |key: &str, value: &str| check_labels([(&key.to_owned(), value)]);
    check("env/tier.x-y_z", "any text: ümlaut 🚤").unwrap();
    check(&"k".repeat(63), &"v".repeat(255)).unwrap();
    for (key, value) in
        [("", ""), ("a b", ""), ("ä", ""), (&"k".repeat(64), ""), ("k", "\0"), ("k", "\n"), ("k", &"v".repeat(256))]
    {
        assert!(check(key, value).unwrap_err().to_string().starts_with("labels: "), "{key:?} {value:?}");
    }
    check_label_filter("env=a=b").unwrap();
    for filter in ["", "env", "=x", "a b=c", "env=\0"] {
        assert!(check_label_filter(filter).unwrap_err().to_string().starts_with("label: "), "{filter:?}");
    }
}

#[test]
fn ids_are_of_version_seven_and_grow() {
    let ids: Vec<Id<Node>> = (0..1000).map(|_| Id::new()).collect();
    assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
    assert!(ids.iter().all(|id| id.uuid().get_version_num() == 7));
    assert_eq!(ids[0].to_string().parse::<Id<Node>>().unwrap(), ids[0]);
}

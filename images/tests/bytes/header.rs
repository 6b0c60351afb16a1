//! The qcow2 parser on bytes of every kind: it answers, whatever they are, and never accepts what reaches outside.

use cirro_images::bytes::qcow2::{Header, parse};
use proptest::prelude::*;

const MAX: u64 = 2 << 40;

/// A version 3 header as `qemu-img create` writes it for 64 MiB.
fn good() -> Vec<u8> {
    let mut head = vec![0; 512];
    let mut put = |at: usize, bytes: &[u8]| head[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"QFI\xfb\0\0\0\x03");
    put(20, &16_u32.to_be_bytes());
    put(24, &(64_u64 << 20).to_be_bytes());
    put(36, &1_u32.to_be_bytes());
    put(40, &0x3_0000_u64.to_be_bytes());
    put(48, &0x1_0000_u64.to_be_bytes());
    put(56, &1_u32.to_be_bytes());
    put(96, &4_u32.to_be_bytes());
    put(100, &104_u32.to_be_bytes());
    head
}

#[test]
fn the_good_header_is_good() {
    let expected = Header { version: 3, virtual_size: 64 << 20, cluster_size: 65_536 };
    assert_eq!(parse(&good(), 196_616, MAX), Ok(expected));
}

#[test]
fn every_cut_of_it_is_refused() {
    for length in 0..112 {
        assert!(parse(&good()[..length], length as u64, MAX).is_err(), "{length} bytes");
    }
}

/// What every accepted header must fulfil, read without the parser.
fn is_harmless(head: &[u8], header: &Header, file_size: u64) -> bool {
    let number =
        |at: usize, length: usize| head[at..at + length].iter().fold(0_u64, |n, byte| n << 8 | u64::from(*byte));
    let version_3 = number(4, 4) == 3;
    number(8, 8) == 0
        && number(32, 4) == 0
        && (!version_3 || number(72, 8) & !0b1_1000 == 0)
        && header.virtual_size == number(24, 8)
        && (1..=MAX).contains(&header.virtual_size)
        && (512..=2 << 20).contains(&header.cluster_size)
        && number(40, 8) + number(36, 4) * 8 <= file_size.saturating_add(header.cluster_size)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_never_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..600), magic: bool, size: u64, max: u64) {
        if magic {
            let begin = b"QFI\xfb\0\0\0";
            let length = begin.len().min(bytes.len());
            bytes[..length].copy_from_slice(&begin[..length]);
        }
        let _ = parse(&bytes, size, max);
    }

    #[test]
    fn changed_headers_are_refused_or_harmless(
        changes in proptest::collection::vec((0..512_usize, any::<u8>()), 1..4),
        file_size in prop_oneof![Just(196_616), Just(u64::MAX), 0..1_000_000_u64],
    ) {
        let mut head = good();
        for (at, byte) in changes {
            head[at] = byte;
        }
        if let Ok(header) = parse(&head, file_size, MAX) {
            prop_assert!(is_harmless(&head, &header, file_size), "{header:?}");
        }
    }

    /// Extreme numbers in the fields that are added, multiplied and shifted.
    #[test]
    fn extreme_fields_never_panic(
        fields in proptest::collection::vec(
            (prop_oneof![0..16_usize, Just(18), Just(24), Just(25), Just(26)],
             prop_oneof![Just(0_u32), Just(1), Just(9), Just(14), Just(21), Just(u32::MAX), Just(1 << 31), any::<u32>()]), 1..8),
        file_size: u64,
        max: u64,
    ) {
        let mut head = good();
        for (field, value) in fields {
            let at = 4 + field * 4;
            head[at..at + 4].copy_from_slice(&value.to_be_bytes());
        }
        let _ = parse(&head, file_size, max);
    }
}

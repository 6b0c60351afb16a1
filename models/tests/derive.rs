//! One mistake end to end: what the compiler shows to somebody who makes it. All others are in `cirro-derive`.

#[test]
fn a_mistake_in_a_declaration_is_shown_where_it_is() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}

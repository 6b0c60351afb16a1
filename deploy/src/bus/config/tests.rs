use super::*;

fn bus() -> Bus {
    let word = |text: &str| Word::new(text).unwrap();
    Bus {
        listen: "0.0.0.0:443".parse().unwrap(),
        nodes: Some("0.0.0.0:8443".parse().unwrap()),
        folder: word("/run/cirro-bus"),
        edge: word("/etc/cirro/bus/edge.pem"),
        credential: word("/etc/cirro/bus/credential.pem"),
        ca: word("/etc/cirro/bus/ca.pem"),
        connections: 32768,
        user: Some(word("www-data")),
    }
}

fn members(compute: &[&str]) -> Members {
    let at = |list: &[&str]| list.iter().map(|text| text.parse().unwrap()).collect();
    [
        (Service::Identity, at(&["10.0.0.1:7101"])),
        (Service::Compute, at(compute)),
        (Service::Storage, at(&["[fd00::1]:7103"])),
        (Service::Images, at(&[])),
    ]
}

#[test]
fn the_whole_of_it() {
    insta::assert_snapshot!(bus().text(&members(&["10.0.0.1:7102", "10.0.0.2:7102"])));
}

#[test]
fn what_a_process_tells_its_own_site_has_no_way_to_the_outside() {
    let text = bus().text(&members(&["10.0.0.1:7102"]));
    let routed = text.lines().find(|line| line.contains("map $uri $service")).unwrap();
    assert!(routed.contains("docs"), "{text}");
    let mut passed = text.lines().filter_map(|line| line.trim().strip_prefix("proxy_pass https://"));
    assert!(passed.all(|to| ["$service;", "images;"].contains(&to)), "{text}");
    assert!(!text.contains("/metrics") && !text.contains("/status"), "{text}");
}

#[test]
fn nothing_is_left_to_fill_in_and_only_processes_make_a_difference() {
    let one = bus().text(&members(&["10.0.0.1:7102"]));
    let mut marks = one.split('@').skip(1).map(|rest| rest.bytes().take_while(u8::is_ascii_uppercase).count());
    assert!(marks.all(|length| length < 2), "something is left to fill in:\n{one}");
    assert_eq!(one, bus().text(&members(&["10.0.0.1:7102"])));
    assert_ne!(one, bus().text(&members(&["10.0.0.2:7102"])));
    let plain = Bus { nodes: None, user: None, ..bus() }.text(&members(&[]));
    assert!(!plain.contains("\nstream {") && !plain.contains("load_module") && !plain.contains("\nuser "), "{plain}");
}

#[test]
fn what_is_no_word_of_that_language_is_refused() {
    for bad in ["", "a b", "a;b", "a{", "a}", "$host", "a\nb", "a'b", "a\"b", "a\\b", "#a", "ä"] {
        let error = Word::new(bad).unwrap_err().to_string();
        assert!(error.contains("nginx"), "{bad:?}: {error}");
    }
}

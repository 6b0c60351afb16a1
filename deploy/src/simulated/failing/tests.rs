use super::*;

fn read(text: &str) -> Failing {
    text.parse().unwrap()
}

#[test]
fn what_is_written_is_understood() {
    let seconds = Duration::from_secs;
    let machine = What::Machine;
    let cases = [
        ("node-0005:hang@30s", Nodes::Range(5, 5), machine(Fault::Hang), seconds(30)),
        ("node-0001..0050:refuse", Nodes::Range(1, 50), machine(Fault::Refuse), seconds(0)),
        ("node-0001..node-0002:crash@1500ms", Nodes::Range(1, 2), What::Crash, Duration::from_millis(1500)),
        ("5%:slow=2s@1m", Nodes::Share(5), machine(Fault::Slow(seconds(2))), seconds(60)),
        ("100%:error=20%", Nodes::Share(100), machine(Fault::Error(20)), seconds(0)),
        ("1%:silent", Nodes::Share(1), What::Silent, seconds(0)),
    ];
    for (text, nodes, what, from) in cases {
        let failing = Failing { nodes, what, from };
        assert_eq!(read(text), failing, "{text}");
        assert_eq!(read(&failing.to_string()), failing, "it is said as it is read");
    }
}

#[test]
fn what_can_not_be_understood_is_told_how_to_write_it() {
    let cases = [
        ("", "NODES:WHAT"),
        ("hang", "NODES:WHAT"),
        ("web-1:hang", "NODES:WHAT"),
        ("0005:hang", "NODES:WHAT"),
        ("node-0000:hang", "NODES:WHAT"),
        ("node-0009..0001:hang", "NODES:WHAT"),
        ("0%:hang", "1% to 100%"),
        ("101%:hang", "1% to 100%"),
        ("5%:explode", "refuse, hang"),
        ("5%:hang=3s", "refuse, hang"),
        ("5%:slow", "refuse, hang"),
        ("5%:slow=2", "500ms, 30s"),
        ("5%:error=0%", "1% to 100%"),
        ("5%:hang@", "500ms, 30s"),
        ("5%:hang@30", "500ms, 30s"),
        ("5%:hang@2d", "500ms, 30s"),
        ("5%:hang@99999999999999999999s", "500ms, 30s"),
    ];
    for (text, word) in cases {
        let said = text.parse::<Failing>().unwrap_err().to_string();
        assert!(said.contains(word), "{text}: {said}");
    }
    assert!(read("node-0005:hang").check(&(1..6)).is_ok() && read("5%:hang").check(&(1..2)).is_ok());
    for (text, nodes) in [("node-0001..0006:hang", 1..6), ("node-0006:hang", 7..12)] {
        let said = read(text).check(&nodes).unwrap_err().to_string();
        assert!(said.contains("node-0006 is not there"), "{said}");
    }
}

#[test]
fn the_same_seed_chooses_the_same_nodes_and_shares_different_ones() {
    let all = [read("5%:refuse"), read("2%:hang"), read("node-0001:crash@9s"), read("node-0001:silent@3s")];
    let first = plights(&all, &(1..101), 7);
    assert_eq!(first, plights(&all, &(1..101), 7));
    assert_ne!(first, plights(&all, &(1..101), 8));
    let with = |fault| first.values().filter(|plight| plight.faults.iter().any(|due| due.fault == fault)).count();
    assert_eq!((with(Fault::Refuse), with(Fault::Hang)), (5, 2));
    assert!(first.values().all(|plight| plight.faults.len() <= 1));
    assert_eq!(first[&1].ending, Some((Ending::Silent, Duration::from_secs(3))), "what comes first ends it");
    let later: Vec<u32> = plights(&[read("100%:hang"), read("node-0101:refuse")], &(100..103), 7).into_keys().collect();
    assert_eq!(later, [100, 101, 102]);
    assert_eq!(plights(&[read("1%:hang")], &(1..4), 7).len(), 1);
    assert_eq!(plights(&[read("100%:hang"), read("100%:refuse")], &(1..4), 7).len(), 3);
}

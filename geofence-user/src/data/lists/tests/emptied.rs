//! A list that was emptied and gets entries again.

use super::stored::Fixture;
use crate::data::lists::ListState;

#[test]
fn list_that_was_emptied_is_compared_with_the_size_it_had() {
    let fixture = Fixture::new();
    let list = |count: u32| -> String {
        (0..count)
            .map(|n| format!("5.9.{}.{}\n", n >> 8, n & 255))
            .collect()
    };
    fixture.write(list(20));
    fixture.run();
    fixture.write("# nothing today\n");
    assert_eq!(fixture.run().reports[0].state, ListState::Current);
    fixture.write(list(200));
    let report = &fixture.run().reports[0];
    assert_eq!(report.state, ListState::LastGood);
    let why = &report.rejection.as_ref().unwrap().why;
    assert!(why.contains("ten times as many as before"), "{why}");
    // Twice emptied, it still has that size.
    fixture.write("# still nothing\n");
    fixture.run();
    fixture.write(list(200));
    assert_eq!(fixture.run().reports[0].state, ListState::LastGood);
    fixture.write(list(100));
    assert_eq!(fixture.run().reports[0].state, ListState::Current);
}

//! What those who come from other servers read: our halves are whole configurations.

use crate::rig::server::run;
use std::fs;

#[test]
fn every_configuration_for_who_comes_from_elsewhere_is_good() {
    let text = include_str!("../../docs/coming-from.md");
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = (text.split("```yaml\n").skip(1), text.split("```text\n").count() - 1);
    let mut count = 0;
    for block in ours.map(|block| block.split("```").next().unwrap()) {
        let file = folder.path().join("voyandz.yaml");
        fs::write(&file, block).unwrap();
        let output = run(&["check", "-f", file.to_str().unwrap()]);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.trim_end().ends_with("the configuration is good"), "{said}\n{block}");
        count += 1;
    }
    assert_eq!((count, theirs), (7, 7));
}

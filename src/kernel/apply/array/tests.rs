use super::*;
use crate::kernel::apply::testing::member;

/// Whoever has lost a volume's status finds its data; superblocks that nobody has started an array from are written again.
#[test]
fn what_has_run_gets_no_first_superblock() {
    let partition = Uuid::from_u128(1);
    let said = has_not_run(member(partition, 1).path()).unwrap_err().message;
    assert!(said.contains("has run (1 events)") && said.contains("gets no first superblock"), "{said}");
    has_not_run(member(partition, 0).path()).unwrap();
    let blank = tempfile::NamedTempFile::new().unwrap();
    blank.as_file().set_len(1 << 20).unwrap();
    has_not_run(blank.path()).unwrap();
}

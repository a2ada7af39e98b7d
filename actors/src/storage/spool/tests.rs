//! The spool on a real disk.

use std::os::unix::fs::PermissionsExt;

use super::*;

const MIB: u64 = 1 << 20;

fn delivered(n: i64) -> Record {
    Record::CallDelivered { call: CallId::mint(), at: UtcMillis(n) }
}

fn texts(records: &[Record]) -> Vec<Vec<u8>> {
    records.iter().map(|record| encode(record).unwrap()).collect()
}

fn records(spool: &Spool) -> Vec<Record> {
    spool.oldest(usize::MAX, usize::MAX).unwrap().map(|oldest| oldest.records).unwrap_or_default()
}

#[test]
fn what_was_appended_is_there_after_a_restart_until_it_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool");
    let given = (0..10).map(delivered).collect::<Vec<_>>();
    let mut spool = Spool::open(&path, MIB).unwrap();
    assert_eq!(spool.append(&texts(&given[..4])).unwrap(), 4);
    assert_eq!(spool.append(&texts(&given[4..])).unwrap(), 6);
    drop(spool);
    let metadata = fs::metadata(&path).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);

    let mut spool = Spool::open(&path, MIB).unwrap();
    assert_eq!((spool.rows(), records(&spool)), (10, given.clone()));
    let first = spool.oldest(3, usize::MAX).unwrap().unwrap();
    assert_eq!(first.records, given[..3]);
    spool.written(&first).unwrap();
    // What came meanwhile goes behind the rest.
    let late = delivered(99);
    spool.append(&texts(std::slice::from_ref(&late))).unwrap();
    let rest = spool.oldest(usize::MAX, usize::MAX).unwrap().unwrap();
    assert_eq!(rest.records, [&given[3..], &[late]].concat());
    spool.written(&rest).unwrap();
    assert_eq!((spool.rows(), spool.bytes()), (0, 0));
    drop(spool);
    assert_eq!(records(&Spool::open(&path, MIB).unwrap()), []);
    let left = fs::read(&path).unwrap();
    assert!(left[HEADER_BYTES..].iter().all(|byte| *byte == 0), "answers must not stay on the disk");
}

#[test]
fn a_torn_tail_is_cut_and_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool");
    let given = (0..3).map(delivered).collect::<Vec<_>>();
    let mut spool = Spool::open(&path, MIB).unwrap();
    spool.append(&texts(&given[..2])).unwrap();
    let torn_at = spool.tail.at;
    spool.append(&texts(&given[2..])).unwrap();
    // Half of the last frame is what a power cut left.
    spool.file.write_all_at(&[0; 8], torn_at + 30).unwrap();
    drop(spool);
    let mut spool = Spool::open(&path, MIB).unwrap();
    assert_eq!(records(&spool), given[..2]);
    let next = delivered(7);
    spool.append(&texts(std::slice::from_ref(&next))).unwrap();
    drop(spool);
    assert_eq!(records(&Spool::open(&path, MIB).unwrap()), [&given[..2], &[next]].concat());
}

#[test]
fn what_does_not_fit_is_left_to_the_caller_and_so_is_what_follows_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(&folder.path().join("spool"), 1000).unwrap();
    let small = encode(&delivered(1)).unwrap();
    let large = vec![b' '; 900];
    assert_eq!(spool.append(&[small.clone(), large, small.clone()]).unwrap(), 1);
    let mut taken = 1;
    while spool.append(std::slice::from_ref(&small)).unwrap() == 1 {
        taken += 1;
    }
    assert!(taken > 3 && spool.bytes() <= 1000);
    // Written, it has room again.
    let all = spool.oldest(usize::MAX, usize::MAX).unwrap().unwrap();
    spool.written(&all).unwrap();
    assert_eq!(spool.append(&[small]).unwrap(), 1);
}

#[test]
fn what_is_no_spool_is_kept_aside() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool");
    fs::write(&path, "a file that somebody else has put in this place").unwrap();
    let spool = Spool::open(&path, MIB).unwrap();
    assert_eq!(spool.rows(), 0);
    assert!(fs::read_to_string(path.with_extension("damaged")).unwrap().starts_with("a file"));
}

#[test]
fn an_outcome_of_another_release_is_dropped_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(&folder.path().join("spool"), MIB).unwrap();
    let known = delivered(1);
    spool.append(&[b"{\"call_frozen\":{}}".to_vec(), encode(&known).unwrap()]).unwrap();
    let all = spool.oldest(usize::MAX, usize::MAX).unwrap().unwrap();
    assert_eq!(all.records, [known]);
    spool.written(&all).unwrap();
    assert_eq!(spool.rows(), 0);
}

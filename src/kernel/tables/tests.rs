use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

const NUMBER: DevNum = DevNum { major: 259, minor: 0 };
const DISK: Asked = Asked { number: NUMBER, disk_sequence: Some(1), busy: false };

fn content(word: &str) -> Content {
    Content { disk_sequence: Some(1), table: Err(word.to_owned()), signatures: Vec::new() }
}

/// Says a word.
struct Says(&'static str);

impl Speak for Says {
    fn read(&self) -> Content {
        content(self.0)
    }

    fn ping(&self) {}
}

/// Answers when it is let.
struct Hangs(Arc<Barrier>);

impl Speak for Hangs {
    fn read(&self) -> Content {
        self.0.wait();
        content("late")
    }

    fn ping(&self) {
        self.0.wait();
    }
}

fn known(tables: &Tables) -> String {
    tables.known(DISK).0.map_or_else(|| "nothing".to_owned(), |content| content.table.unwrap_err())
}

fn read(tables: &Arc<Tables>, word: &'static str) -> String {
    tables.ask(DISK, Says(word));
    tables.wait(&[DISK]);
    known(tables)
}

#[test]
fn a_disk_is_read_once_until_something_happens() {
    let tables = Arc::<Tables>::default();
    assert_eq!(read(&tables, "first"), "first");
    assert_eq!(read(&tables, "second"), "first");
    tables.forget_all();
    assert_eq!(read(&tables, "third"), "third");
}

#[test]
fn half_of_a_change_is_never_seen() {
    let tables = Arc::<Tables>::default();
    read(&tables, "before");
    tables.begin_change(NUMBER);
    tables.forget_all();
    assert_eq!(read(&tables, "half"), "before");
    tables.end_change(NUMBER);
    assert_eq!(read(&tables, "after"), "after");
}

#[test]
fn what_was_read_while_a_step_ran_is_read_again() {
    struct Changes(Arc<Tables>, AtomicU32);
    impl Speak for Changes {
        fn read(&self) -> Content {
            let reads = self.1.fetch_add(1, Ordering::SeqCst) + 1;
            if reads == 1 {
                self.0.begin_change(NUMBER);
                self.0.end_change(NUMBER);
            }
            content(&reads.to_string())
        }

        fn ping(&self) {}
    }
    let tables = Arc::<Tables>::default();
    tables.ask(DISK, Changes(Arc::clone(&tables), AtomicU32::new(0)));
    tables.wait(&[DISK]);
    assert_eq!(known(&tables), "2");
}

#[test]
fn a_disk_that_does_not_answer_is_what_it_was_and_says_so_until_it_does() {
    let tables = Arc::<Tables>::default();
    let (wake, mut woken) = mpsc::channel(1);
    tables.wake(wake);
    read(&tables, "before");
    tables.forget_all();
    let let_go = Arc::new(Barrier::new(2));
    tables.ask(DISK, Hangs(Arc::clone(&let_go)));
    tables.wait(&[DISK]);
    assert_eq!(known(&tables), "before");
    assert!(tables.known(DISK).1.is_some());
    // A second look neither asks nor waits again.
    let before = Instant::now();
    assert_eq!(read(&tables, "asked twice"), "before");
    assert!(before.elapsed() < PATIENCE);
    let_go.wait();
    assert_eq!(woken.blocking_recv(), Some(()));
    assert_eq!(known(&tables), "late");
    assert_eq!(tables.known(DISK).1, None);
}

#[test]
fn a_disk_behind_a_reused_number_is_not_taken_for_the_one_that_hangs() {
    let tables = Arc::<Tables>::default();
    let let_go = Arc::new(Barrier::new(2));
    tables.ask(DISK, Hangs(Arc::clone(&let_go)));
    let other = Asked { disk_sequence: Some(2), ..DISK };
    assert_eq!(tables.known(other).1, None);
    let_go.wait();
}

#[test]
fn a_busy_disk_whose_answer_is_old_is_asked_whether_it_is_there() {
    let tables = Arc::<Tables>::default();
    read(&tables, "before");
    let busy = Asked { busy: true, ..DISK };
    let let_go = Arc::new(Barrier::new(2));
    tables.ask(busy, Hangs(Arc::clone(&let_go)));
    assert_eq!(tables.known(busy).1, None, "it answered a moment ago");
    tables.lock().get_mut(&NUMBER).unwrap().answered = None;
    tables.ask(DISK, Hangs(Arc::clone(&let_go)));
    assert_eq!(tables.known(DISK).1, None, "an idle disk is left alone");
    tables.ask(busy, Hangs(Arc::clone(&let_go)));
    assert!(tables.known(busy).1.is_some());
    let_go.wait();
}

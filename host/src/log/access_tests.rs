//! Behaviour of access logs and of the writer thread.

use super::super::test_support::Dir;
use super::super::{ErrorLog, Level};
use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

fn log(writer: &Writer, path: &std::path::Path) -> AccessLog {
    AccessLog::open(writer, Target::File(path.into())).expect("opens")
}

fn read(path: &std::path::Path) -> String {
    std::fs::read_to_string(path).expect("log")
}

#[test]
fn lines_of_many_workers_arrive_whole_and_none_is_lost_at_stop() {
    let dir = Dir::new();
    let path = dir.path("a.log");
    let writer = Writer::start().expect("starts");
    let access = log(&writer, &path);
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let mut buffer = access.buffer(Buffering { size: 1000, flush: None });
            scope.spawn(move || {
                for n in 0..2_000 {
                    buffer.line(Instant::now(), |out| out.extend_from_slice(format!("{worker} {n} end").as_bytes()));
                }
            });
        }
    });
    writer.stop(Duration::from_secs(20));
    let text = read(&path);
    for worker in 0..4 {
        let prefix = format!("{worker} ");
        let lines: Vec<_> = text.lines().filter(|line| line.starts_with(&prefix)).collect();
        let want: Vec<_> = (0..2_000).map(|n| format!("{worker} {n} end")).collect();
        assert_eq!(lines, want, "in order and whole");
    }
    assert_eq!((text.lines().count(), access.lost()), (8_000, 0));
}

#[test]
fn buffer_is_handed_over_when_full_when_late_and_on_request() {
    let dir = Dir::new();
    let path = dir.path("a.log");
    let writer = Writer::start().expect("starts");
    let access = log(&writer, &path);
    let seen = || {
        assert!(writer.flush(PATIENCE));
        read(&path)
    };
    let now = Instant::now();
    let flush = Duration::from_secs(5);
    let mut buffer = access.buffer(Buffering { size: 10, flush: Some(flush) });
    buffer.line(now, |out| out.extend_from_slice(b"one"));
    assert_eq!((seen().as_str(), buffer.deadline()), ("", Some(now + flush)));
    buffer.tick(now + flush / 2);
    assert_eq!(seen(), "");
    buffer.tick(now + flush);
    assert_eq!((seen().as_str(), buffer.deadline()), ("one\n", None));
    buffer.line(now, |out| out.extend_from_slice(b"two, long\n"));
    assert_eq!(seen(), "one\ntwo, long\n", "full");
    buffer.line(now, |_| {});
    buffer.line(now, |out| out.extend_from_slice(b"3"));
    buffer.flush();
    assert_eq!(seen(), "one\ntwo, long\n3\n");
    let mut direct = access.buffer(Buffering { size: 0, flush: None });
    direct.line(now, |out| out.push(b'4'));
    assert_eq!(seen(), "one\ntwo, long\n3\n4\n");
}

#[test]
fn overlong_line_is_cut_and_still_one_line() {
    let dir = Dir::new();
    let path = dir.path("a.log");
    let writer = Writer::start().expect("starts");
    let mut buffer = log(&writer, &path).buffer(Buffering::default());
    buffer.line(Instant::now(), |out| out.resize(MAX_LINE * 3, b'x'));
    buffer.line(Instant::now(), |out| out.push(b'y'));
    drop(buffer);
    writer.stop(Duration::from_secs(20));
    let lengths: Vec<_> = read(&path).lines().map(str::len).collect();
    assert_eq!(lengths, [MAX_LINE - 1, 1]);
}

#[test]
fn logs_of_one_target_share_it_and_it_closes_with_the_last() {
    let dir = Dir::new();
    let path = dir.path("a.log");
    let writer = Writer::start().expect("starts");
    let (one, two) = (log(&writer, &path), log(&writer, &path));
    assert!(Arc::ptr_eq(&one.channel, &two.channel));
    let mut buffer = one.buffer(Buffering::default());
    buffer.line(Instant::now(), |out| out.push(b'a'));
    drop((one, two));
    let again = log(&writer, &path);
    assert!(Arc::ptr_eq(&again.channel, &buffer.channel), "a buffer keeps its log open");
    drop((again, buffer));
    let mut buffer = log(&writer, &path).buffer(Buffering::default());
    buffer.line(Instant::now(), |out| out.push(b'b'));
    drop(buffer);
    writer.stop(Duration::from_secs(20));
    assert_eq!(read(&path), "a\nb\n");
}

#[test]
fn target_that_cannot_be_opened_is_an_error_at_once() {
    let dir = Dir::new();
    let writer = Writer::start().expect("starts");
    let missing = Target::File(dir.path("missing").join("a.log"));
    assert!(AccessLog::open(&writer, missing).is_err());
    writer.stop(Duration::from_secs(20));
    assert!(AccessLog::open(&writer, Target::File(dir.path("late.log"))).is_err());
}

#[cfg(unix)]
#[test]
fn reopen_takes_the_new_file_and_names_what_fails() {
    let dir = Dir::new();
    let (path, moved, stuck) = (dir.path("a.log"), dir.path("a.log.1"), dir.path("b.log"));
    let writer = Writer::start().expect("starts");
    let mut buffer = log(&writer, &path).buffer(Buffering { size: 0, flush: None });
    let _stuck = log(&writer, &stuck);
    buffer.line(Instant::now(), |out| out.push(b'1'));
    assert!(writer.flush(PATIENCE));
    std::fs::rename(&path, &moved).expect("moved");
    std::fs::remove_file(&stuck).expect("removed");
    std::fs::create_dir(&stuck).expect("in the way");
    let failed = writer.reopen(PATIENCE).expect("answers");
    assert_eq!(failed.into_iter().map(|(target, _)| target).collect::<Vec<_>>(), [Target::File(stuck)]);
    buffer.line(Instant::now(), |out| out.push(b'2'));
    drop(buffer);
    writer.stop(Duration::from_secs(20));
    assert_eq!((read(&moved).as_str(), read(&path).as_str()), ("1\n", "2\n"));
}

#[cfg(target_os = "linux")]
#[test]
fn full_disk_loses_lines_counts_them_and_says_so_in_the_error_log() {
    let dir = Dir::new();
    let path = dir.path("error.log");
    let writer = Writer::start().expect("starts");
    let errors = ErrorLog::new(&writer, &[(Target::File(path.clone()), Level::Info)]).expect("opens");
    let access = log(&writer, "/dev/full".as_ref());
    let mut buffer = access.buffer(Buffering { size: usize::MAX, flush: None });
    for _ in 0..5 {
        buffer.line(Instant::now(), |out| out.extend_from_slice(b"lost"));
    }
    buffer.flush();
    assert!(writer.flush(PATIENCE));
    assert_eq!(access.lost(), 5);
    // Closing the log tells what is untold, before the second is over.
    drop((buffer, access));
    assert!(writer.flush(PATIENCE) && writer.flush(PATIENCE));
    let text = read(&path);
    assert!(text.contains("[error] [host] [-] lines lost file=/dev/full lines=5"), "{text}");
    drop(errors);
    writer.stop(Duration::from_secs(20));
}

#[test]
fn lines_without_room_are_lost_and_counted_and_the_worker_goes_on() {
    let dir = Dir::new();
    let path = dir.path("a.log");
    let writer = Writer::with_limit(8).expect("starts");
    let access = log(&writer, &path);
    let mut buffer = access.buffer(Buffering { size: 0, flush: None });
    buffer.line(Instant::now(), |out| out.extend_from_slice(b"longer than the queue"));
    buffer.line(Instant::now(), |out| out.extend_from_slice(b"longer than the queue"));
    assert_eq!(access.lost(), 2);
    let mut last = access.buffer(Buffering::default());
    last.line(Instant::now(), |out| out.extend_from_slice(b"the last lines of a worker"));
    drop((buffer, last));
    writer.stop(Duration::from_secs(20));
    assert_eq!(read(&path), "the last lines of a worker\n");
    let mut late = access.buffer(Buffering { size: 0, flush: None });
    late.line(Instant::now(), |out| out.push(b'x'));
    assert_eq!(access.lost(), 3, "after the stop");
}

#[cfg(target_os = "linux")]
#[test]
fn what_is_lost_at_the_very_end_is_still_told() {
    let dir = Dir::new();
    let path = dir.path("error.log");
    let writer = Writer::start().expect("starts");
    let _errors = ErrorLog::new(&writer, &[(Target::File(path.clone()), Level::Info)]).expect("opens");
    let access = log(&writer, "/dev/full".as_ref());
    for _ in 0..3 {
        let mut buffer = access.buffer(Buffering::default());
        buffer.line(Instant::now(), |out| out.push(b'x'));
        drop(buffer);
        assert!(writer.flush(PATIENCE));
    }
    writer.stop(Duration::from_secs(20));
    let told = |line: &str| line.split_once("lines=")?.1.split(' ').next()?.parse::<u64>().ok();
    let sum: u64 = read(&path).lines().filter_map(told).sum();
    assert_eq!(sum, 3, "{}", read(&path));
}

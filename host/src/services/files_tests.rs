use super::*;
use std::path::PathBuf;

struct Temp(PathBuf);

impl Temp {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("anyproxy-files-{name}-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        Self(path)
    }

    async fn open(&self, flags: u32) -> Object {
        // SAFETY: the path is copied during the call.
        let r: Result<Object, Error> = unsafe { file_open(Str::new(self.0.to_str().unwrap()), flags) }.await.into();
        r.unwrap()
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn result<T>(o: Outcome<T>) -> Result<T, Error> {
    o.into()
}

#[tokio::test]
async fn what_is_written_is_read_back_at_its_offset() {
    let path = Temp::new("offset");
    let f = path.open(READ | WRITE | CREATE).await;
    // SAFETY: the object is given up once, below.
    unsafe {
        let buf = result(file_write(f, 3, b"hello".to_vec().into()).await).unwrap();
        assert_eq!(&buf[..], b"hello");
        result(file_sync(f).await).unwrap();
        assert_eq!(result(file_len(f)).unwrap(), 8);
        assert!(file_fd(f) >= 0);
        let mut room: Buf = Vec::with_capacity(64).into();
        room.push(b"> ");
        let got = result(file_read(f, 2, room).await).unwrap();
        assert_eq!(&got[..], b"> \0hello");
        let at_end = result(file_read(f, 100, Vec::with_capacity(64).into()).await).unwrap();
        assert!(at_end.is_empty());
        file_drop(f);
    }
}

#[tokio::test]
async fn a_read_goes_on_when_the_file_is_given_up() {
    let path = Temp::new("given-up");
    std::fs::write(&path.0, "content").unwrap();
    let f = path.open(READ).await;
    // SAFETY: as above.
    let read = unsafe {
        let read = file_read(f, 0, Vec::with_capacity(64).into());
        file_drop(f);
        read
    };
    assert_eq!(&result(read.await).unwrap()[..], b"content");
}

#[tokio::test]
async fn truncating_and_appending_do_what_they_say() {
    let path = Temp::new("modes");
    std::fs::write(&path.0, "before").unwrap();
    let f = path.open(WRITE | CREATE | TRUNCATE).await;
    // SAFETY: as above.
    unsafe {
        assert_eq!(result(file_len(f)).unwrap(), 0);
        file_drop(f);
    }
    std::fs::write(&path.0, "one ").unwrap();
    let f = path.open(WRITE | CREATE | APPEND).await;
    // SAFETY: as above.
    unsafe {
        result(file_write(f, 0, b"two".to_vec().into()).await).unwrap();
        file_drop(f);
    }
    assert_eq!(std::fs::read_to_string(&path.0).unwrap(), "one two");
}

#[cfg(unix)]
#[tokio::test]
async fn a_new_file_is_nobody_elses() {
    use std::os::unix::fs::PermissionsExt;
    let path = Temp::new("mode");
    let f = path.open(WRITE | CREATE).await;
    // SAFETY: as above.
    unsafe { file_drop(f) };
    assert_eq!(std::fs::metadata(&path.0).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn a_missing_file_is_named_in_the_error() {
    let path = Temp::new("missing");
    // SAFETY: as above.
    let r = result(unsafe { file_open(Str::new(path.0.to_str().unwrap()), READ) }.await);
    let e = r.unwrap_err();
    assert_eq!(e.kind, ErrorKind::NotFound);
    assert!(e.text().contains("missing"), "{e}");
}

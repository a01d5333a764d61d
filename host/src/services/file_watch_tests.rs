use super::*;
use anyproxy_module_api::abi::task::with_ffi;
use std::{future::poll_fn, task::Poll, time::Duration};

struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("anyproxy-watch-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

struct Watching(Object);

impl Watching {
    fn new(path: &Path) -> Self {
        // SAFETY: the path is copied during the call.
        let r: Result<Object, Error> = unsafe { file_watch(Str::new(path.to_str().unwrap())) }.into();
        Self(r.unwrap())
    }

    async fn change(&self) {
        let wait = poll_fn(|cx| {
            // SAFETY: the object is held.
            match with_ffi(cx, |f| unsafe { file_watch_poll(self.0, f) }) {
                0 => Poll::Pending,
                _ => Poll::Ready(()),
            }
        });
        // A change that is not told would wait for ever.
        tokio::time::timeout(Duration::from_secs(30), wait).await.unwrap();
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        // SAFETY: given up once.
        unsafe { file_watch_drop(self.0) }
    }
}

#[tokio::test]
async fn a_file_is_seen_when_it_is_made_written_and_replaced() {
    let dir = Dir::new("life");
    let w = Watching::new(&dir.path("cert"));
    std::fs::write(dir.path("cert"), "one").unwrap();
    w.change().await;
    std::fs::write(dir.path("next"), "two").unwrap();
    std::fs::rename(dir.path("next"), dir.path("cert")).unwrap();
    w.change().await;
    std::fs::write(dir.path("cert"), "three").unwrap();
    w.change().await;
}

#[tokio::test]
async fn a_directory_is_seen_to_change() {
    let dir = Dir::new("dir");
    let w = Watching::new(&dir.0);
    std::fs::write(dir.path("any"), "x").unwrap();
    w.change().await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_link_that_is_set_elsewhere_is_seen() {
    let dir = Dir::new("link");
    for v in ["v1", "v2"] {
        std::fs::create_dir(dir.path(v)).unwrap();
        std::fs::write(dir.path(v).join("cert"), v).unwrap();
    }
    std::os::unix::fs::symlink("v1", dir.path("data")).unwrap();
    std::os::unix::fs::symlink("data/cert", dir.path("cert")).unwrap();
    let w = Watching::new(&dir.path("cert"));
    std::os::unix::fs::symlink("v2", dir.path("new")).unwrap();
    std::fs::rename(dir.path("new"), dir.path("data")).unwrap();
    w.change().await;
}

#[tokio::test]
async fn several_watches_of_one_directory_are_told_each_and_end_alone() {
    let dir = Dir::new("several");
    let (a, b) = (Watching::new(&dir.path("f")), Watching::new(&dir.path("f")));
    drop(a);
    std::fs::write(dir.path("f"), "x").unwrap();
    b.change().await;
}

#[test]
fn a_directory_that_is_not_there_is_an_error() {
    // SAFETY: the path is copied during the call.
    let r: Result<Object, Error> = unsafe { file_watch(Str::new("/no/such/directory/at/all/file")) }.into();
    assert_eq!(r.unwrap_err().kind, ErrorKind::NotFound);
}

#[test]
fn reading_is_no_change_and_other_names_do_not_matter() {
    use notify::event::{AccessKind, CreateKind};
    let read = Event::new(EventKind::Access(AccessKind::Close(AccessMode::Read)));
    assert!(!is_change(&read));
    assert!(is_change(&Event::new(EventKind::Access(AccessKind::Close(AccessMode::Write)))));
    let watch = Watch {
        dirs: Vec::new(),
        names: vec!["cert".into()],
        changed: AtomicBool::new(false),
        waiters: Arc::default(),
    };
    let made = |name: &str| Event::new(EventKind::Create(CreateKind::File)).add_path(Path::new("/d").join(name));
    assert!(watch.concerns(&made("cert")));
    assert!(!watch.concerns(&made("other")));
}

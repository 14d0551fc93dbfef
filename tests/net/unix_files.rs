//! The files of Unix sockets: which are cleared away, which are removed, which are left alone.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, symlink};
use std::path::Path;

use tulipa::net::{UnixDatagram, UnixListener, UnixStream};

use crate::temp_dir::TempDir;

fn is_socket(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|it| it.file_type().is_socket())
}

/// What a process that died leaves behind.
fn stale_file(path: &Path) {
    drop(std::os::unix::net::UnixListener::bind(path).unwrap());
    assert!(is_socket(path));
}

// UD05, § 13: a stale socket file is removed first.
#[test]
fn a_stale_file_makes_way() {
    tulipa::run(async {
        let dir = TempDir::new();
        let path = dir.join("stale");
        stale_file(&path);
        let listener = UnixListener::bind(&path).await.unwrap();
        let _client = UnixStream::connect(&path).await.unwrap();
        drop(listener);
        stale_file(&path);
        let socket = UnixDatagram::bind(&path).unwrap();
        UnixDatagram::unbound()
            .unwrap()
            .send_to(b"x", &path)
            .await
            .unwrap();
        assert_eq!(socket.recv(&mut [0; 4]).await.unwrap(), 1);
    });
}

// UD05
#[test]
fn a_live_socket_is_left_alone_and_does_not_notice() {
    tulipa::run(async {
        let dir = TempDir::new();
        let path = dir.join("live");
        let live = std::os::unix::net::UnixListener::bind(&path).unwrap();
        live.set_nonblocking(true).unwrap();
        let error = UnixListener::bind(&path).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        assert!(
            error.to_string().contains(path.to_str().unwrap()),
            "{error}"
        );
        assert_eq!(
            UnixDatagram::bind(&path).unwrap_err().kind(),
            ErrorKind::AddrInUse
        );
        assert_eq!(live.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        let _client = UnixStream::connect(&path).await.unwrap();
        live.accept().unwrap();

        let path = dir.join("datagrams");
        let live = UnixDatagram::bind(&path).unwrap();
        assert_eq!(
            UnixDatagram::bind(&path).unwrap_err().kind(),
            ErrorKind::AddrInUse
        );
        assert_eq!(
            UnixListener::bind(&path).await.unwrap_err().kind(),
            ErrorKind::AddrInUse
        );
        assert_eq!(
            live.try_recv(&mut [0; 4]).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );

        // One that is bound, and does not listen yet.
        let path = dir.join("soon");
        let soon =
            socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
        soon.bind(&socket2::SockAddr::unix(&path).unwrap()).unwrap();
        assert_eq!(
            UnixListener::bind(&path).await.unwrap_err().kind(),
            ErrorKind::AddrInUse
        );
        soon.listen(1).unwrap();
        UnixStream::connect(&path).await.unwrap();
    });
}

// UD05
#[test]
fn what_is_no_socket_is_left_alone() {
    tulipa::run(async {
        let dir = TempDir::new();
        let file = dir.join("file");
        fs::write(&file, "precious").unwrap();
        fs::create_dir(dir.join("dir")).unwrap();
        stale_file(&dir.join("target"));
        symlink(dir.join("target"), dir.join("link")).unwrap();
        for name in ["file", "dir", "link"] {
            let error = UnixListener::bind(dir.join(name)).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::AddrInUse, "{name}");
        }
        assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
        assert!(dir.join("link").is_symlink() && is_socket(&dir.join("target")));

        let error = UnixListener::bind(dir.join("gone/socket"))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let error = UnixListener::bind("x".repeat(200)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    });
}

// § 13: cleanup_socket.
#[test]
fn a_socket_removes_its_own_file() {
    tulipa::run(async {
        let dir = TempDir::new();
        let path = dir.join("own");
        drop(UnixListener::bind(&path).await.unwrap());
        assert!(!path.exists());
        drop(UnixDatagram::bind(&path).unwrap());
        assert!(!path.exists());

        // It may be gone already.
        let listener = UnixListener::bind(&path).await.unwrap();
        fs::remove_file(&path).unwrap();
        drop(listener);
    });
}

// § 13, UD05: replaced.
#[test]
fn a_file_in_the_place_of_its_own_is_left_alone() {
    tulipa::run(async {
        let dir = TempDir::new();
        let path = dir.join("contested");
        let first = UnixListener::bind(&path).await.unwrap();
        fs::remove_file(&path).unwrap();
        let second = UnixListener::bind(&path).await.unwrap();
        drop(first);
        let _client = UnixStream::connect(&path).await.unwrap();
        second.accept().await.unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "a file").unwrap();
        drop(second);
        assert_eq!(fs::read_to_string(&path).unwrap(), "a file");
    });
}

// § 13: cleanup_socket=False.
#[test]
fn a_file_that_is_to_stay_stays() {
    tulipa::run(async {
        let dir = TempDir::new();
        let path = dir.join("stays");
        let mut listener = UnixListener::bind(&path).await.unwrap();
        listener.set_unlink_on_drop(true);
        listener.set_unlink_on_drop(false);
        drop(listener);
        assert!(is_socket(&path));

        let handed_on = UnixListener::bind(&path).await.unwrap().into_std().unwrap();
        assert!(is_socket(&path), "someone else has the socket now");
        drop(UnixListener::from_std(handed_on).unwrap());
        assert!(is_socket(&path));

        let handed_on = UnixDatagram::bind(&path).unwrap().into_std().unwrap();
        drop(handed_on);
        assert!(is_socket(&path));
    });
}

//! Names: resolvers, and what becomes of look-ups that hang.

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use crate::give_up;
use tulipa::net::names::{LookUp, Resolver, SystemResolver, set_resolver, with_resolver};
use tulipa::net::{TcpListener, TcpStream, lookup_host};
use tulipa::{spawn, timeout, yield_now};

fn addr(last: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, last], port))
}

/// Knows no name, and minds being asked.
async fn nobody(host: &str, _: u16) -> io::Result<Vec<SocketAddr>> {
    panic!("'{host}' needs no look-up");
}

// §14
#[test]
fn addresses_are_not_looked_up() {
    tulipa::run(with_resolver(nobody, async {
        let v4 = lookup_host("192.0.2.7:80").await.unwrap();
        assert_eq!(v4, [addr(7, 80)]);
        assert_eq!(lookup_host(("192.0.2.7", 80)).await.unwrap(), v4);
        assert_eq!(lookup_host(&v4[..]).await.unwrap(), v4);
        let v6 = lookup_host("[::1]:80").await.unwrap();
        assert_eq!(v6[0].to_string(), "[::1]:80");
        let scoped = lookup_host(("fe80::1%3", 80)).await.unwrap();
        assert_eq!(scoped[0].to_string(), "[fe80::1%3]:80");
        #[cfg(target_os = "linux")]
        assert_eq!(
            lookup_host("[fe80::1%lo]:80").await.unwrap()[0].to_string(),
            "[fe80::1%1]:80"
        );
    }));
}

#[test]
fn the_system_knows_this_machine() {
    tulipa::run(async {
        let found = lookup_host(("localhost", 80)).await.unwrap();
        assert!(found.iter().all(|it| it.port() == 80));
        assert!(
            found.iter().any(|it| it.ip().is_loopback()),
            "localhost is {found:?}"
        );
        let direct = SystemResolver.look_up("localhost", 80).await.unwrap();
        assert_eq!(direct, found);
    });
}

#[test]
fn a_name_that_cannot_be_is_an_error_that_names_it() {
    tulipa::run(async {
        // A part of a name has 63 letters at most, so nobody is asked.
        let name = format!("{}.invalid", "a".repeat(70));
        let error = lookup_host((name.as_str(), 80)).await.unwrap_err();
        assert!(
            error.to_string().contains(&format!("look up '{name}'")),
            "{error}"
        );
        assert!(error.get_ref().unwrap().source().is_some());
        let error = TcpStream::connect(format!("{name}:80")).await.unwrap_err();
        assert!(error.to_string().contains("look up"), "{error}");
        let error = TcpListener::bind((name, 0)).await.unwrap_err();
        assert!(error.to_string().contains("look up"), "{error}");
    });
}

#[test]
fn a_resolver_is_inherited_by_tasks_and_kept_within_its_scope() {
    let one = async |_: &str, port: u16| Ok(vec![addr(1, port)]);
    let two = async |_: &str, port: u16| Ok(vec![addr(2, port)]);
    tulipa::run(async move {
        let found = async || lookup_host("a.test:1").await.unwrap()[0].ip();
        set_resolver(one);
        assert_eq!(found().await, addr(1, 1).ip());
        let child = spawn(async { lookup_host("a.test:1").await.unwrap()[0].ip() });
        with_resolver(two, async {
            assert_eq!(found().await, addr(2, 1).ip());
        })
        .await;
        assert_eq!(found().await, addr(1, 1).ip());
        assert_eq!(child.await.unwrap(), addr(1, 1).ip());
        // What a child sets stays its own.
        spawn(async move { set_resolver(two) }).await.unwrap();
        assert_eq!(found().await, addr(1, 1).ip());
    });
    tulipa::run(async {
        let local = lookup_host("localhost:1").await.unwrap();
        assert!(local.iter().any(|it| it.ip().is_loopback()), "as before");
    });
}

#[test]
fn what_a_resolver_says_is_passed_on() {
    /// Not a closure: a type with a cache, say.
    struct Zone(Vec<SocketAddr>);
    impl Resolver for Zone {
        fn look_up<'a>(&'a self, host: &'a str, _: u16) -> LookUp<'a> {
            Box::pin(async move {
                yield_now().await;
                match host {
                    "all.test" => Ok(self.0.clone()),
                    "none.test" => Ok(Vec::new()),
                    _ => Err(io::Error::new(ErrorKind::PermissionDenied, "not yours")),
                }
            })
        }
    }
    let all = vec![addr(2, 5), addr(1, 5), addr(2, 5)];
    tulipa::run(with_resolver(Zone(all.clone()), async move {
        // In its order, unchanged.
        assert_eq!(lookup_host("all.test:5").await.unwrap(), all);
        let error = lookup_host("none.test:5").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let error = lookup_host("x.test:5").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        assert_eq!(error.to_string(), "cannot look up 'x.test': not yours");
    }));
}

#[test]
fn a_look_up_can_be_given_up_at_every_stage() {
    let under_way = Rc::new(Cell::new(0));
    struct UnderWay(Rc<Cell<u32>>);
    impl Drop for UnderWay {
        fn drop(&mut self) {
            self.0.set(self.0.get() - 1);
        }
    }
    let counter = under_way.clone();
    let slow = async move |_: &str, port: u16| {
        counter.set(counter.get() + 1);
        let _under_way = UnderWay(counter.clone());
        yield_now().await;
        yield_now().await;
        Ok(vec![addr(1, port)])
    };
    tulipa::run(with_resolver(slow, async move {
        let mut stages = 0;
        while give_up::after(stages, lookup_host("a.test:1"))
            .await
            .is_none()
        {
            assert_eq!(under_way.get(), 0, "dropped with the look-up");
            stages += 1;
        }
        assert_eq!(stages, 3);
    }));
}

#[test]
fn a_resolver_that_hangs_is_held_to_the_timeout() {
    let hang = async |_: &str, _: u16| pending().await;
    let runner = tulipa::runtime::Runner::builder()
        .start_paused(true)
        .build();
    runner.unwrap().run(with_resolver(hang, async {
        let before = tulipa::time::Instant::now();
        let limit = Duration::from_millis(200);
        assert!(timeout(limit, lookup_host("a.test:1")).await.is_err());
        assert!(
            timeout(limit, TcpStream::connect("a.test:1"))
                .await
                .is_err()
        );
        assert!(before.elapsed() < Duration::from_millis(410));
    }));
}

#[test]
fn binding_looks_names_up_too() {
    let here =
        async |_: &str, port: u16| Ok(vec![SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)]);
    tulipa::run(with_resolver(here, async {
        let listener = TcpListener::bind("me.test:0").await.unwrap();
        assert!(listener.local_addr().unwrap().ip().is_loopback());
    }));
}

#[test]
fn resolvers_are_asked_for_the_host_as_it_was_written() {
    let asked = Rc::new(RefCell::new(Vec::new()));
    let list = asked.clone();
    let resolver = async move |host: &str, port: u16| {
        list.borrow_mut().push(format!("{host}|{port}"));
        Ok(vec![addr(1, port)])
    };
    tulipa::run(with_resolver(resolver, async {
        for host in ["Ex-ample.org:1", "b\u{fc}cher.test:2", "localhost.:3"] {
            lookup_host(host).await.unwrap();
        }
        lookup_host(("db".to_owned(), 4)).await.unwrap();
    }));
    let expected = [
        "Ex-ample.org|1",
        "b\u{fc}cher.test|2",
        "localhost.|3",
        "db|4",
    ];
    assert_eq!(*asked.borrow(), expected);
}

// §14: slow look-ups logged in debug
#[test]
fn slow_look_ups_are_reported_in_debug_mode() {
    let heard = Rc::new(RefCell::new(Vec::new()));
    let look_up_in_mode = |debug| {
        let list = heard.clone();
        let runner = tulipa::runtime::Runner::builder()
            .debug(debug)
            .slow_callback_duration(Duration::ZERO) // Everything is slow, polls too.
            .exception_handler(move |it| list.borrow_mut().push(it.message.to_owned()))
            .build();
        runner.unwrap().run_and_close(async {
            lookup_host("localhost:1").await.unwrap();
        });
        let heard = heard.take();
        heard
            .iter()
            .filter(|it| it.starts_with("looking up 'localhost' took"))
            .count()
    };
    assert_eq!(look_up_in_mode(false), 0);
    assert_eq!(look_up_in_mode(true), 1);
}

/// The system's resolver hangs for names under `hang.test`: this binary has a `getaddrinfo` of its own.
#[cfg(target_os = "linux")]
mod hung {
    #![allow(unsafe_code, reason = "stands in for a function of the C library")]

    use super::*;
    use std::ffi::{CStr, c_char, c_int};
    use std::process::Command;
    use std::thread;
    use std::time::Instant;
    use tulipa::runtime::Runner;

    type GetAddrInfo = unsafe extern "C" fn(
        *const c_char,
        *const c_char,
        *const libc::addrinfo,
        *mut *mut libc::addrinfo,
    ) -> c_int;

    // SAFETY: of the C library's signature, and does what that does but for names of our own.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn getaddrinfo(
        node: *const c_char,
        service: *const c_char,
        hints: *const libc::addrinfo,
        found: *mut *mut libc::addrinfo,
    ) -> c_int {
        if !node.is_null() {
            // SAFETY: the caller passes a string that ends with a zero, or null.
            let name = unsafe { CStr::from_ptr(node) };
            if name.to_bytes().ends_with(b"hang.test") {
                // For ever: whoever waited for it would hang, too.
                loop {
                    thread::park();
                }
            }
        }
        // SAFETY: the name is a string that ends with a zero.
        let real = unsafe { libc::dlsym(libc::RTLD_NEXT, c"getaddrinfo".as_ptr()) };
        assert!(!real.is_null());
        // SAFETY: it is the C library's own, which has this signature.
        let real = unsafe { std::mem::transmute::<*mut libc::c_void, GetAddrInfo>(real) };
        // SAFETY: the caller's promises are passed on.
        unsafe { real(node, service, hints, found) }
    }

    async fn hung_look_up() {
        let before = Instant::now();
        let limit = Duration::from_millis(200);
        let result = timeout(limit, lookup_host("a.hang.test:1")).await;
        assert!(result.is_err());
        let elapsed = before.elapsed();
        assert!(elapsed >= limit, "{elapsed:?}");
    }

    // BL05
    #[test]
    fn a_hung_look_up_is_held_to_the_timeout_and_does_not_keep_the_loop() {
        let mut runner = Runner::new().unwrap();
        runner.run(hung_look_up());
        let report = runner.close();
        assert!(report.is_clean(), "nobody needs to know: {report:?}");
    }

    // BL05
    #[test]
    fn a_hung_look_up_does_not_keep_the_process() {
        const NAME: &str = "names::hung::a_hung_look_up_does_not_keep_the_process";
        if std::env::var_os("TULIPA_TEST_HUNG_LOOK_UP").is_some() {
            tulipa::run(hung_look_up());
            std::process::exit(0); // As returning from main does, without waiting for the test's harness.
        }
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", NAME, "--nocapture", "--test-threads=1"])
            .env("TULIPA_TEST_HUNG_LOOK_UP", "1")
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    // BL06
    #[test]
    fn hung_look_ups_leave_room_for_other_work() {
        tulipa::run(async {
            let mut hung = tulipa::task::JoinSet::new();
            for number in 0..100 {
                hung.spawn(lookup_host(format!("host{number}.hang.test:1")));
            }
            for _ in 0..10 {
                yield_now().await;
            }
            for _ in 0..100 {
                tulipa::spawn_blocking(|| ()).await.unwrap();
            }
            let pool = tulipa::blocking::pool();
            assert_eq!((pool.running(), pool.queued()), (0, 0));
        });
    }

    #[test]
    fn as_many_look_ups_run_at_once_as_were_allowed() {
        let runner = Runner::builder().max_look_ups(1).build();
        runner.unwrap().run_and_close(async {
            let hung = spawn(lookup_host("hang.test:1"));
            yield_now().await;
            let limit = Duration::from_millis(50);
            // It waits for the one thread, and is taken off the queue when it is given up.
            assert!(timeout(limit, lookup_host("localhost:1")).await.is_err());
            hung.abort();
        });
    }
}

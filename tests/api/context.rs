//! Context variables: who inherits what, and when it is copied.
//!
//! The numbers in comments are sections of the specification that the project is built to.

use std::rc::Rc;

use tulipa::runtime::Runner;
use tulipa::task::{self, Context, context_local};
use tulipa::{scope, spawn, task_group, yield_now};

use crate::support::Drops;

context_local! {
    static NAME: String = String::from("default");
    static NUMBER: u32;
    static KEPT: Option<Rc<crate::support::Witness>> = None;
    shared static SHARED: u32 = 1;
}

/// §5 create_task (obs): the child sees values as of creation; its own sets do not leak back.
#[tulipa::test]
async fn a_task_inherits_the_context_of_its_spawn() {
    NAME.set("outer".into());
    let child = spawn(async {
        let before = NAME.get();
        NAME.set("inner".into());
        yield_now().await;
        (before, NAME.get())
    });
    NAME.set("changed".into());
    assert_eq!(child.await.unwrap(), ("outer".into(), "inner".into()));
    assert_eq!(NAME.get(), "changed");
}

/// §5 create_task(context=): one that is passed takes the place of the copy.
#[tulipa::test]
async fn a_task_can_be_given_a_context() {
    NUMBER.set(1);
    let saved = Context::current();
    NUMBER.set(2);
    let child = task::Builder::new()
        .context(saved)
        .spawn(async { NUMBER.get() });
    assert_eq!(child.await.unwrap(), 1);
    let child = task::Builder::new()
        .context(Context::empty())
        .spawn(async { NUMBER.try_with(|it| *it) });
    assert_eq!(child.await.unwrap(), None);
}

/// §0 mapping: groups and scopes inherit too.
#[tulipa::test]
async fn children_of_groups_and_scopes_inherit() {
    NUMBER.set(5);
    let in_group = task_group(async |group| {
        let child = group.spawn(async { Ok::<_, ()>(NUMBER.get()) });
        NUMBER.set(6);
        Ok(child.await.unwrap())
    })
    .await;
    assert_eq!(in_group.unwrap(), 5);
    let in_scope = scope(async |scope| scope.spawn(async { NUMBER.get() }).await.unwrap()).await;
    assert_eq!(in_scope, 6);
}

/// §8 Runner: the context persists between runs on one loop.
#[test]
fn what_one_run_sets_the_next_one_sees() {
    let mut runner = Runner::new().unwrap();
    runner.run(async { NUMBER.set(7) });
    assert_eq!(runner.run(async { NUMBER.get() }), 7);
    let mut other = Runner::new().unwrap();
    assert_eq!(other.run(async { NUMBER.try_with(|it| *it) }), None);
}

#[tulipa::test]
async fn a_value_can_be_set_for_a_future_alone() {
    NAME.set("around".into());
    let inside = NAME
        .scope("inside".into(), async {
            yield_now().await;
            let seen = NAME.get();
            NAME.set("set inside".into());
            yield_now().await;
            (seen, NAME.get(), spawn(async { NAME.get() }).await.unwrap())
        })
        .await;
    assert_eq!(
        inside,
        ("inside".into(), "set inside".into(), "set inside".into())
    );
    assert_eq!(NAME.get(), "around");
    assert_eq!(Context::empty().enter(|| NAME.get()), "default");
    assert_eq!(NAME.get(), "around");
}

#[tulipa::test]
async fn values_are_dropped_with_the_last_task_that_has_them() {
    let drops = Drops::default();
    let witness = Rc::new(drops.witness());
    let task = spawn(async move {
        KEPT.set(Some(witness));
        let child = spawn(std::future::pending::<()>());
        yield_now().await;
        child
    });
    let child = task.await.unwrap();
    assert_eq!(drops.count(), 0);
    child.abort();
    assert!(child.await.is_err());
    assert_eq!(drops.count(), 1);
}

#[test]
fn misuse_says_what_to_do() {
    assert_eq!(NAME.get(), "default");
    let unset = std::panic::catch_unwind(|| NUMBER.get()).unwrap_err();
    let message = unset.downcast::<String>().unwrap();
    assert!(message.contains("NUMBER has no value"), "{message}");
    let outside = std::panic::catch_unwind(|| NUMBER.set(1)).unwrap_err();
    let message = outside.downcast::<String>().unwrap();
    assert!(message.contains("no tulipa event loop"), "{message}");
}

#[tulipa::test]
async fn shared_values_cross_to_other_threads() {
    SHARED.set(9);
    NUMBER.set(1);
    let shared = Context::current().shared();
    let seen = std::thread::spawn(move || {
        assert_eq!(SHARED.get(), 1);
        let inside = shared.enter(|| (SHARED.get(), NUMBER.try_with(|it| *it)));
        assert_eq!(SHARED.get(), 1);
        inside
    });
    assert_eq!(seen.join().unwrap(), (9, None));
}

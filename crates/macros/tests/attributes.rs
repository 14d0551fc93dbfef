//! What the attributes make runs on a loop, and the test harness treats it as it treats any test.

use std::cell::Cell;
use std::num::ParseIntError;
use std::process::ExitCode;
use std::time::Duration;

use tulipa::time::Instant;

#[tulipa::main]
async fn sum() -> u32 {
    let left = tulipa::spawn(async { 20 });
    let right = tulipa::spawn(async { 22 });
    left.await.unwrap() + right.await.unwrap()
}

#[test]
fn each_call_runs_a_loop_of_its_own() {
    assert_eq!(sum() + sum(), 84);
}

#[tulipa::main(reactor = "no such reactor")]
async fn cannot_start() {
    unreachable!("there is no loop");
}

#[test]
#[should_panic = "tulipa: could not start the event loop: "]
fn a_loop_that_cannot_start_says_so() {
    cannot_start();
}

#[tulipa::test]
async fn a_test_runs_on_a_loop() {
    assert_eq!(tulipa::spawn(async { 42 }).await.unwrap(), 42);
}

#[tulipa::test(start_paused = true)]
async fn a_paused_clock_jumps_to_the_next_deadline() {
    let start = Instant::now();
    tulipa::sleep(Duration::from_secs(3600)).await;
    assert_eq!(start.elapsed(), Duration::from_secs(3600));
}

#[tulipa::test(reactor = "mio", start_paused = false)]
async fn options_can_be_combined() {
    tulipa::yield_now().await;
}

#[tulipa::test]
async fn a_test_may_return_a_result() -> Result<(), ParseIntError> {
    let answer: u8 = async { "42" }.await.parse()?;
    assert_eq!(answer, 42);
    Ok(())
}

#[tulipa::test]
async fn a_test_may_return_an_exit_code() -> ExitCode {
    ExitCode::SUCCESS
}

#[tulipa::test]
#[should_panic = "as expected"]
async fn a_panic_in_the_body_reaches_the_harness() {
    tulipa::yield_now().await;
    panic!("as expected");
}

#[should_panic]
#[tulipa::test]
async fn attributes_may_stand_above() {
    panic!("as expected");
}
#[tulipa::test]
#[cfg(any())]
async fn a_test_left_out_is_not_even_checked() -> Missing {}

#[tulipa::test]
async fn the_body_may_hold_what_must_not_leave_the_thread() {
    let count = std::rc::Rc::new(Cell::new(1));
    tulipa::yield_now().await;
    count.set(count.get() + 1);
    assert_eq!(count.get(), 2);
}

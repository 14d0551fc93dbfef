#[tulipa::test]
#[test]
async fn twice() {}

#[tulipa::test]
#[should_panic]
#[core::prelude::v1::test]
async fn by_path() {}

#[tulipa::test]
#[tulipa::test(start_paused = true)]
async fn ours() {}

fn main() {}

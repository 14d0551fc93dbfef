#[allow(unused_imports)] // The macros below do not come to use it.
use std::future::ready;

async fn no_branch() {
    tulipa::select! {}
}

async fn no_handler() {
    tulipa::select! { value = ready(1) }
}

async fn no_pattern() {
    tulipa::select! { ready(1) => {} }
}

async fn no_comma() {
    tulipa::select! { 1 = ready(1) if true => {} }
}

async fn else_is_not_last() {
    tulipa::select! { else => 1, value = ready(1) => value }
}

fn main() {}

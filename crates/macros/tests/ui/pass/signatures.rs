//! What stands around the function stays as it is.

#![deny(warnings, clippy::all, unfulfilled_lint_expectations)]

pub mod service {
    pub struct Service<T>(pub T);

    impl<T: Default> Service<T> {
        /// `Self` and the parameters of the `impl` mean what they always do.
        #[tulipa::main]
        #[must_use]
        pub async fn start() -> Self {
            Self(T::default())
        }
    }

    #[tulipa::main]
    pub(super) async fn visible() -> [u8; {
        const N: usize = 2;
        N
    }] {
        [7; 2]
    }

    pub struct Sized<const N: usize>;

    #[tulipa::main]
    pub async fn braces_in_the_type() -> Sized<{ 1 + 1 }> {
        Sized
    }
}

#[tulipa::main]
#[expect(unused_variables)]
#[allow(clippy::unnecessary_wraps)]
async fn lints() -> Option<u8> {
    let unused = 1;
    Some(2)
}

#[tulipa::main]
async fn inner_attributes() {
    //! Documentation at the head of the body.
    #![expect(unused_variables)]
    let unused = 1;
}

#[cfg(any())]
#[tulipa::main]
async fn left_out() -> Missing {}

#[tulipa::main]
async fn r#loop() {}

fn main() {
    assert_eq!(service::Service::<u8>::start().0, 0);
    assert_eq!(service::visible(), [7; 2]);
    let service::Sized::<2> = service::braces_in_the_type();
    assert_eq!(lints(), Some(2));
    inner_attributes();
    r#loop();
}

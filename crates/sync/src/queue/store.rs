//! What a queue needs of the place where its items lie: which one is next?

/// An item that is, or was, on its way to somebody, and may come back.
pub(crate) struct Entry<T> {
    /// Its age: the lower, the older. Zero if it has none, see [`Store::pop`].
    pub(crate) number: u64,
    pub(crate) item: T,
}

/// A place for items.
///
/// Methods take `&self`, and none but [`push`](Store::push), [`pop`](Store::pop) and [`in_order`](Store::in_order) runs anyone else's
/// code; those do only if the store [compares](Store::COMPARES).
pub(crate) trait Store<T> {
    /// Whether it compares items: that is the program's code, which may use the queue, and may panic.
    const COMPARES: bool;

    fn len(&self) -> usize;

    /// For an item that is handed to somebody, and never was in here.
    fn next_number(&self) -> u64;

    /// Adds an item. When comparing panics, it has not.
    fn push(&self, item: T);

    /// Adds an item, and leaves comparing to the next `pop`.
    fn push_unsorted(&self, item: T);

    /// Takes the next item, with the number that it has, if it has one. When comparing panics, nothing has changed.
    ///
    /// `None` if there is none, and while this store is comparing, that is if it is called from there.
    fn pop(&self) -> Option<Entry<T>>;

    /// Adds an item that was taken out, or handed over, in the place that its number gives it.
    fn put_back(&self, entry: Entry<T>);

    /// Takes out everything but what is being compared.
    fn drain(&self) -> Vec<Entry<T>>;

    /// Sorts what came out of `drain`.
    fn in_order(&self, entries: Vec<Entry<T>>) -> Vec<T>;
}

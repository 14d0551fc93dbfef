//! What a task dump sees of a primitive: its kind, its name, and who holds it.
//!
//! The first one who has to wait makes the entry, which stays until the primitive is dropped: one that is never
//! contended, and has no name, has none.

use std::cell::{Cell, OnceCell};
use std::fmt;
use std::rc::Rc;

use tulipa_base::resource::Resource;
use tulipa_base::{TaskId, wait};

/// The entry of a primitive, once there is one.
pub(crate) struct Seen {
    kind: &'static str,
    resource: OnceCell<Resource>,
    /// Who the entry says holds it: so that it need not be looked up to say the same again.
    shown: Cell<Option<TaskId>>,
}

impl Seen {
    pub(crate) const fn new(kind: &'static str) -> Seen {
        Seen {
            kind,
            resource: OnceCell::new(),
            shown: Cell::new(None),
        }
    }

    pub(crate) fn kind(&self) -> &'static str {
        self.kind
    }

    /// Gives the primitive a name.
    pub(crate) fn set_name(&mut self, name: &str) {
        let resource = Resource::new(self.kind).name(Some(Rc::from(name)));
        self.shown.set(None);
        self.resource = OnceCell::from(resource);
    }

    /// The running task waits for the primitive, which that task holds, as far as can be said.
    #[inline]
    pub(crate) fn note_wait(&self, holder: Option<TaskId>) {
        let resource = match self.resource.get() {
            Some(resource) => resource,
            None => self.register(),
        };
        self.show(resource, holder);
        wait::note(resource.label());
    }

    #[cold]
    fn register(&self) -> &Resource {
        self.resource.get_or_init(|| Resource::new(self.kind))
    }

    /// Another task holds it now.
    #[inline]
    pub(crate) fn set_holder(&self, holder: Option<TaskId>) {
        if let Some(resource) = self.resource.get() {
            self.show(resource, holder);
        }
    }

    #[inline]
    fn show(&self, resource: &Resource, holder: Option<TaskId>) {
        if self.shown.replace(holder) != holder {
            resource.set_holder(holder);
        }
    }

    /// Begins to describe the primitive, by its kind and its name.
    pub(crate) fn fmt_struct<'a, 'b>(
        &self,
        f: &'a mut fmt::Formatter<'b>,
    ) -> fmt::DebugStruct<'a, 'b> {
        let mut debug = f.debug_struct(self.kind);
        let info = self
            .resource
            .get()
            .and_then(|it| tulipa_base::resource::find(it.label()));
        if let Some(name) = info.and_then(|info| info.name) {
            debug.field("name", &name);
        }
        debug
    }
}

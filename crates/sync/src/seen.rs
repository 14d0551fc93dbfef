//! What a task dump sees of a primitive: its kind, its name, and who holds it.
//!
//! The first one who has to wait makes the entry, which stays until the primitive is dropped: one that is never
//! contended, and has no name, has none.

use std::cell::OnceCell;
use std::fmt;
use std::rc::Rc;

use tulipa_base::resource::Resource;
use tulipa_base::{TaskId, wait};

/// The entry of a primitive, once there is one.
pub(crate) struct Seen {
    kind: &'static str,
    resource: OnceCell<Resource>,
}

impl Seen {
    pub(crate) const fn new(kind: &'static str) -> Seen {
        Seen {
            kind,
            resource: OnceCell::new(),
        }
    }

    pub(crate) fn kind(&self) -> &'static str {
        self.kind
    }

    /// Gives the primitive a name.
    pub(crate) fn set_name(&mut self, name: &str) {
        let holder = None; // Nobody: whoever has it exclusively has just made it, or has a guard and names nothing.
        let resource = Resource::new(self.kind)
            .name(Some(Rc::from(name)))
            .holder(holder);
        self.resource = OnceCell::from(resource);
    }

    /// The running task waits for the primitive, which that task holds, as far as can be said.
    #[inline]
    pub(crate) fn note_wait(&self, holder: Option<TaskId>) {
        let resource = match self.resource.get() {
            Some(resource) => resource,
            None => self.register(),
        };
        resource.set_holder(holder);
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

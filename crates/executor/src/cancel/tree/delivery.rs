//! How far a request to cancel has come in a task, for those who look from outside.

use crate::cancel::CancelReason;
use crate::cancel::tree::{Kind, Request, Tree};
use crate::task::TaskRef;

/// How far a request to cancel has come. See [`TaskInfo::cancelling`](crate::dump::TaskInfo::cancelling).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Delivery {
    /// Code has caught it: it is cleaning up, or has swallowed it.
    Caught,
    /// A shield keeps it from what runs inside.
    Shielded,
    /// It was handed on to a task that this one awaits, which has not ended yet.
    Forwarded,
    /// A clean-up is running, after which it goes on outwards.
    CleaningUp,
    /// A catch point or scope was told, and acts on it at the task's next turn.
    OnItsWay,
    /// It has arrived at the task itself, whose future is dropped at its next turn.
    Ending,
}

impl Tree {
    /// The most urgent of the requests that the nodes of `task` have, and how far it has come.
    pub(crate) fn delivery_in(&self, task: TaskRef) -> Option<(Delivery, CancelReason)> {
        let nodes = self.nodes.borrow();
        let mut most: Option<(Delivery, &Request)> = None;
        let mut left: Vec<_> = task.header().scopes.get().into_iter().collect();
        while let Some(index) = left.pop() {
            let node = &nodes[index.key()];
            let held = match node.kind {
                Kind::Scope | Kind::Catch => Delivery::CleaningUp,
                Kind::Shield => Delivery::Shielded,
                Kind::Forward(_) => Delivery::Forwarded,
                Kind::InHand => Delivery::Caught,
            };
            let hit = node.hit.iter().map(|it| (Delivery::OnItsWay, it));
            for found in hit.chain(node.held.iter().map(|it| (held, it))) {
                if most.is_none_or(|(most, _)| found.0 > most) {
                    most = Some(found);
                }
            }
            left.extend(node.next);
            left.extend(node.first_child);
        }
        most.map(|(delivery, request)| (delivery, request.reason.clone()))
    }
}

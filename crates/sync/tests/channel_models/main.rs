//! The channels against naive models: random moves, also in the middle of others, by wakers and destructors.
//!
//! # How
//! Each test plays episodes: up to eight futures, and whatever else can be done to a channel. A move is applied to the model first, and
//! then made; what it yields is compared. Wakers, and destructors of messages, make further moves, which is fair: a channel
//! runs nobody else's code before it is in order, so what such a move finds is what the model says. There are two
//! exceptions. A future that must wait has its waker cloned before that is decided: so the model decides after
//! that clone. And where several are told one after the other, those who are told last may still wait (never for good):
//! moves in the middle of that are restricted to what cannot tell the difference.
//!
//! After each move: whoever would go on now has been woken. After each episode: every message was dropped.
//!
//! `TULIPA_MODEL_STEPS` says how many moves, `TULIPA_MODEL_SEED` repeats an episode.

#[path = "../channel_support/mod.rs"]
mod channel_support;

mod broadcast;
mod mpsc;
mod oneshot;
mod play;
mod watch;

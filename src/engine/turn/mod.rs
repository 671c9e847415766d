//! End of turn from the sound of it: [`smart_turn`] is the model, [`mel`] its ears, [`scripted`]
//! answers what a test tells it to.

pub mod mel;
pub mod scripted;
pub mod smart_turn;

//! How the turns of a stream come, by what client and origin say of it (RFC 9218).

use crate::core::priority::{Parameters, Priority};

/// What one stream's turns go by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Order {
    /// Smaller ones come first (section 4.1).
    pub(super) urgency: u8,
    pub(super) manner: Manner,
}

/// How streams of one urgency go on beside each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// In turns of some frames: nobody says anything of it. The defaults of the RFC would let one endless answer hold up all
    /// others of clients that never heard of it.
    Usual,
    /// One after another, as they were asked for.
    Whole,
    /// In turns of one frame.
    Frames,
}

impl Default for Order {
    /// Where nothing is said.
    fn default() -> Self {
        Self { urgency: Priority::default().urgency, manner: Manner::Usual }
    }
}

impl Order {
    /// What the client asks for, `None` where it says nothing, but for what the origin says (section 8).
    pub(super) fn of(client: Option<Priority>, origin: Parameters) -> Self {
        let Priority { urgency, incremental } = origin.over(client.unwrap_or_default());
        let said = client.is_some() || origin.incremental.is_some();
        let manner = match (said, incremental) {
            (false, _) => Manner::Usual,
            (true, false) => Manner::Whole,
            (true, true) => Manner::Frames,
        };
        Self { urgency, manner }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_origin_overrides_what_it_names_and_silence_is_no_wish() {
        let client = |urgency, incremental| Some(Priority { urgency, incremental });
        let origin = |urgency, incremental| Parameters { urgency, incremental };
        for (client, origin, urgency, manner) in [
            (None, origin(None, None), 3, Manner::Usual),
            (None, origin(Some(1), None), 1, Manner::Usual),
            (None, origin(None, Some(false)), 3, Manner::Whole),
            (None, origin(None, Some(true)), 3, Manner::Frames),
            (client(3, false), origin(None, None), 3, Manner::Whole),
            (client(5, true), origin(None, None), 5, Manner::Frames),
            (client(5, true), origin(Some(0), None), 0, Manner::Frames),
            (client(5, true), origin(None, Some(false)), 5, Manner::Whole),
            (client(5, false), origin(Some(7), Some(true)), 7, Manner::Frames),
        ] {
            assert_eq!(Order::of(client, origin), Order { urgency, manner }, "{client:?} {origin:?}");
        }
        assert_eq!(Order::of(None, Parameters::default()), Order::default());
    }
}
